"""The engine: one loop that turns commands and reports into journalled events, and decisions into actions.

loop       receive -> validate -> append -> evolve -> decide -> append -> evolve -> commit -> act
effects    which actions follow from an event
feed       committed records for readers, without a look into the engine's state
reconcile  what a new engine must settle before it goes on
foresight  forecasts and choices of policy, made beside it (aside: in a thread or a child; fork: a forked child)
local      the session that serves an engine from a thread of this process
"""
