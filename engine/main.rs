//! The `engine` program.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(engine::cli::main().code())
}
