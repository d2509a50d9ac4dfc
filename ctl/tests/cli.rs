//! p2pctl as its users see it.
