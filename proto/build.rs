//! Compiles the protobuf contract in pure Rust: no `protoc` on the machine is needed.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=rungs/v1/event.proto");
    let files = protox::compile(["rungs/v1/event.proto"], ["."])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
