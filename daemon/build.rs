//! Says in one line where p2pd is not there, instead of a hundred errors of the compiler.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if !["linux", "macos"].contains(&target.as_str()) {
        println!(
            "cargo::error=p2pd is there for Linux and macOS, not for {target}: it rests on folders held open while what is in them is opened, on Unix signals and sockets"
        );
    }
}
