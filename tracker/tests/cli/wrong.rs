//! Wrong calls, each with the exact answer.
