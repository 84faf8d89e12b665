"""Pure decisions of supervision: state, events, policy, schedule, the state machine."""
