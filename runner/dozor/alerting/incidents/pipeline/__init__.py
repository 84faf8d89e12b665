"""The notification pipeline: the stages that decide whether a message about an incident is sent, in order.

1. `dedup`: has an earlier message reported it already?
2. `inhibit`: does the open incident of a dependency explain it?
3. `mute`: does a silence cover it?
4. `group`: do so many come at once that they become one digest?
5. `acknowledge`: for a reminder or escalation, has somebody acknowledged the incident?

The first stage that holds the message ends the pipeline, and its reason is recorded in the incident.
"""
