//! Starting, stopping, crashing, and the commands for administrators.
