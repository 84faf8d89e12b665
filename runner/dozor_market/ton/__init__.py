"""TON: reading transactions, verifying histories, providers. Needs the extra `ton`; imported only when used.

transactions.py  a cell becomes a Receipt: what came in, or why it does not count (pure)
history.py       pages become a chain: every transaction names the hash of the one before it (pure)
providers.py     tonutils' clients behind one port, with failover
crediting.py     receipts become deposits and postings, together with the cursor
"""
