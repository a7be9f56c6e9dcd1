//! The `engine` program.

/// A run of thousands of stages is read into many small values: the system's allocator took a third of that time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(engine::cli::main().code())
}
