"""The site box: central system for the chargers of one site."""
