"""A report as one web page that needs no network: numbers, and the pictures behind them."""
