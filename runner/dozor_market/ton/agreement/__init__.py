"""What several providers say about one wallet: confirmed, waiting, or contradicted."""
