//! The command line of p2pd; everything is in the library.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(p2pctl::run(std::env::args_os()))
}
