//! Fetching metadata from honest peers, liars and the mute.
