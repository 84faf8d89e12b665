"""TON: reading transactions, verifying histories, providers. Needs the extra `ton`; imported only when used.

transactions.py  a cell becomes a Receipt: what came in, or why it does not count (pure)
history.py       pages become a chain: every transaction names the hash of the one before it (pure)
providers.py     tonutils' clients behind one port; each endpoint is one provider
reader.py        the history between a confirmed transaction and the cursor
comparison.py    histories of several providers compared: confirmed, unconfirmed, contradicted (pure)
agreement.py     one round of asking every provider about one wallet
limits.py        what a single provider is trusted with (pure)
pending.py       transfers that wait for a second provider or for a person
evidence.py      contradictions between providers
alerts.py        alerts about both
comments.py      comments: the key that is matched, the harmless form that is shown (pure)
amounts.py       amounts as people read them (pure)
unmatched.py     alerts about deposits without an owner
sources.py       the kinds of API behind one port
freshness.py     how far providers are behind each other (pure)
provider_health.py  what is wrong with providers in one run
incidents.py     incidents of providers, wallets and the books
jettons.py       jetton wallets: configured, verified through the master
blocks.py        many wallets read by blocks
wallets.py       many wallets read by themselves
reading.py       one run over all wallets
reconciliation.py  the ledger against the balances on the chain
crediting.py     receipts become deposits and postings, together with the cursor
rounds.py        all of that for one wallet
"""
