// The VM's errors as exceptions, for raising.rs: Rust can pass them on, but neither throw nor catch them.

#include <exception>

struct lua_State;

// Of the VM: pushes a text, with the position before it.
void luaG_pusherror(lua_State*, const char*);

extern "C" void* lua_getthreaddata(lua_State*);
extern "C" void lua_setthreaddata(lua_State*, void*);

namespace
{
// The VM's number for the kind of its error, whose value is on the VM's stack.
struct Raised
{
    int status;
};

// What the VM has for its errors, and for want of memory.
constexpr int LUA_ERRRUN = 2;
constexpr int LUA_ERRMEM = 4;

// As raising.rs has it.
struct Landing
{
    long calls;
    lua_State* state;
    void* outer;
};

// Whatever passes, even a panic, leaves the landing of this function's caller. One that returns does it by itself.
struct Passing
{
    lua_State* state;

    ~Passing()
    {
        if (state)
            lua_setthreaddata(state, static_cast<Landing*>(lua_getthreaddata(state))->outer);
    }
};
} // namespace

// Runs `body(state, data)` and gives 0, or the number of the error that it raised.
extern "C" __attribute__((visibility("hidden"))) int shadow_vm_catch(
    lua_State* state, void (*body)(lua_State*, void*), void* data)
{
    try
    {
        Passing passing{state};
        body(state, data);
        passing.state = nullptr;
        return 0;
    }
    catch (const Raised& raised)
    {
        return raised.status;
    }
    catch (const std::exception& exception)
    {
        // Of the standard library, below the generator of machine code.
        try
        {
            luaG_pusherror(state, exception.what());
            return LUA_ERRRUN;
        }
        catch (const Raised&)
        {
            return LUA_ERRMEM;
        }
    }
}

// Of raising.rs: raises by a jump, or returns.
extern "C" void shadow_vm_jump(lua_State*, int);

extern "C" __attribute__((visibility("hidden"), noreturn)) void shadow_vm_throw(lua_State* state, int status)
{
    shadow_vm_jump(state, status);
    throw Raised{status};
}
