"""`dozor demo`: a made-up marketplace with faults injected on purpose, in a fixed order of events.

stage.py sets it up and takes it down, market.py is the marketplace and what goes wrong with it, story.py
the order of events, chain.py a made-up chain, toncenter.py its API, words.py the words of the narrator,
screen.py how it all looks in a terminal.
"""
