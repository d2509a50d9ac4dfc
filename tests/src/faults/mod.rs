//! A disk that fails one call of a real p2pd, by a library in C that is preloaded into it; and what must be so all the same.
//!
//! [`Shim`] is the library. [`Lane`] publishes a file on a disk that it makes fail, and judges what p2pd and the tracker claim meanwhile and
//! afterwards.
//!
//! It needs a C compiler, and programs that link the C library dynamically, as those that cargo builds on GNU/Linux do.

mod lane;
mod script;
mod shim;

pub use self::lane::{End, Lane, Run};
pub use self::script::{Dropped, Script};
pub use self::shim::{Fault, Shim};
