//! How the module is linked, and its one file of C++.

/// Exceptions of the VM: Rust can neither throw nor catch them.
const RAISING: &str = "src/engine/stack/vm/raising.cpp";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={RAISING}");
    // The crate that builds the VM links its standard library.
    cc::Build::new().cpp(true).std("c++17").cpp_link_stdlib(None).file(RAISING).compile("shadow_raising");
    // Calls of realpath go to src/realpath.rs.
    if std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,--wrap=realpath");
        // Comparisons of strings go to src/engine/stack/collation.rs.
        for name in [
            "_Z11luaV_strcmpPK7TStringS1_",
            "_Z13luaV_lessthanP9lua_StatePK10lua_TValueS3_",
            "_Z14luaV_lessequalP9lua_StatePK10lua_TValueS3_",
        ] {
            println!("cargo::rustc-cdylib-link-arg=-Wl,--wrap={name}");
        }
    }
}
