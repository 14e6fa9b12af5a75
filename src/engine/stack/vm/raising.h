// Comes before every file of the VM (.cargo/config.toml). The two functions by which the VM raises and catches are
// called where they are used, rather than copied there, and the linker may take others of the same name: those of
// raising.rs.

struct lua_State;

__attribute__((weak)) int luaD_rawrunprotected(lua_State*, void (*)(lua_State*, void*), void*);
__attribute__((weak, noreturn)) void luaD_throw(lua_State*, int);
