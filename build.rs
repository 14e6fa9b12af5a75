//! How the module is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Calls of realpath go to src/realpath.rs.
    if std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,--wrap=realpath");
    }
}
