// Luau's type checker as a function: definitions and a source in, diagnostics out.

#include "Luau/BuiltinDefinitions.h"
#include "Luau/Common.h"
#include "Luau/Config.h"
#include "Luau/ConfigResolver.h"
#include "Luau/Error.h"
#include "Luau/ExperimentalFlags.h"
#include "Luau/FileResolver.h"
#include "Luau/Frontend.h"

#include <cstring>
#include <exception>
#include <optional>
#include <string>

namespace
{

// Gets the line, counted from 0, and the text of a diagnostic.
using Report = void (*)(void* context, unsigned line, const char* text);

const char* const MODULE = "library";

struct OneSource : Luau::FileResolver
{
    std::string source;

    std::optional<Luau::SourceCode> readSource(const Luau::ModuleName& name) override
    {
        if (name != MODULE)
            return std::nullopt;
        return Luau::SourceCode{source, Luau::SourceCode::Script};
    }
};

struct EveryLint : Luau::ConfigResolver
{
    Luau::Config config;

    EveryLint()
    {
        config.enabledLint.setDefaults();
    }

    const Luau::Config& getConfig(const Luau::ModuleName&, const Luau::TypeCheckLimits&) const override
    {
        return config;
    }
};

// The flags that luau-analyze runs with.
void setFlags()
{
    for (Luau::FValue<bool>* flag = Luau::FValue<bool>::list; flag; flag = flag->next)
        if (strncmp(flag->name, "Luau", 4) == 0 && !Luau::isAnalysisFlagExperimental(flag->name))
            flag->value = true;
}

void report(Report each, void* context, const Luau::TypeError& error)
{
    each(context, error.location.begin.line, Luau::toString(error).c_str());
}

void report(Report each, void* context, const Luau::LintWarning& warning)
{
    const std::string text = std::string(Luau::LintWarning::getName(warning.code)) + ": " + warning.text;
    each(context, warning.location.begin.line, text.c_str());
}

bool checkSource(const char* definitions, const char* source, bool newSolver, Report each, void* context)
{
    OneSource files;
    files.source = source;
    EveryLint configuration;
    Luau::FrontendOptions options;
    options.runLintChecks = true;
    Luau::Frontend frontend(newSolver ? Luau::SolverMode::New : Luau::SolverMode::Old, &files, &configuration, options);
    Luau::registerBuiltinGlobals(frontend, frontend.globals);
    const Luau::LoadDefinitionFileResult loaded =
        frontend.loadDefinitionFile(frontend.globals, frontend.globals.globalScope, definitions, "@redis", false);
    if (!loaded.success)
    {
        for (const Luau::ParseError& error : loaded.parseResult.errors)
            each(context, error.getLocation().begin.line, error.getMessage().c_str());
        if (loaded.module)
            for (const Luau::TypeError& error : loaded.module->errors)
                report(each, context, error);
        return false;
    }
    const Luau::CheckResult result = frontend.check(MODULE);
    for (const Luau::TypeError& error : result.errors)
        report(each, context, error);
    for (const Luau::LintWarning& warning : result.lintResult.errors)
        report(each, context, warning);
    for (const Luau::LintWarning& warning : result.lintResult.warnings)
        report(each, context, warning);
    return true;
}

} // namespace

// Checks `source` with `definitions` loaded. False when these do not load: what is reported is then about them. What
// the checker throws is reported for the first line.
extern "C" bool check_library(const char* definitions, const char* source, bool newSolver, Report each, void* context)
{
    try
    {
        setFlags();
        return checkSource(definitions, source, newSolver, each, context);
    }
    catch (const std::exception& error)
    {
        each(context, 0, error.what());
        return true;
    }
}
