"""How a host is reached: commands with a deadline, kept streams, and the agent that speaks over one."""
