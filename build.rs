//! How the module is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
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
