// A module that vvp loads before the design: it starts Python inside vvp, and hands over to fxsim.mutation.server,
// which loads what testbenches import, once, and comes back from here in a copy of this process for each simulation.

#include <dlfcn.h>
#include <cstdio>
#include <cstdlib>

static void* library = nullptr;

static void* find(const char* name) {
    void* found = dlsym(library, name);
    if (found == nullptr) {
        std::fprintf(stderr, "libpython has no %s\n", name);
        std::exit(3);
    }
    return found;
}

static void start() {
    const char* path = std::getenv("FXSIM_LIBPYTHON");
    const char* program = std::getenv("PYGPI_PYTHON_BIN");
    // For all to see, as what Python imports is not linked against it.
    library = path == nullptr ? nullptr : dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr || program == nullptr) {
        std::fprintf(stderr, "libpython cannot be loaded\n");
        std::exit(3);
    }
    auto decode = reinterpret_cast<wchar_t* (*)(const char*, std::size_t*)>(find("Py_DecodeLocale"));
    auto name = reinterpret_cast<void (*)(const wchar_t*)>(find("Py_SetProgramName"));
    auto initialise = reinterpret_cast<void (*)(int)>(find("Py_InitializeEx"));
    auto run = reinterpret_cast<int (*)(const char*)>(find("PyRun_SimpleString"));
    name(decode(program, nullptr));
    initialise(0);
    if (run("from fxsim.mutation.server import serve\nserve()\n") != 0) {
        std::exit(3);
    }
}

void (*vlog_startup_routines[])() = {start, nullptr};
