"""What makes one cluster of hosts and runs services on it."""
