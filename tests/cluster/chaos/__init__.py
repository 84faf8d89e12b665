"""Three replicas of one cluster under faults, and the judge of what they did."""
