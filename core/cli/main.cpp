// SPDX-License-Identifier: Apache-2.0
// The program `layerhub`: a table of commands, each in a file of its name.
#include "commands.hpp"

#include <layerhub/mapping.hpp>

#include <CLI/CLI.hpp>

#include <array>
#include <cstdio>
#include <exception>
#include <string_view>

namespace {

struct Command {
  const char* name;
  const char* subject;  // what it is asked about; nullptr: nothing
  const char* help;
  int (*run)(const layerhub::cli::Options&);
  const char* takes = "";  // of the options that not all have: "d" --device, "m" --mapping and --mode, "o" --output
};

constexpr std::array commands{
    Command{"devices", nullptr, "the devices that kernels can run on here, and why others are missing",
            &layerhub::cli::devices},
    Command{"list", nullptr, "every plugin in the plugin directories", &layerhub::cli::list},
    Command{"info", "REPO", "org/name or org/name@revision: its libraries and kernels", &layerhub::cli::info, "d"},
    Command{"versions", "REPO", "org/name: its versions, and why a variant does not fit", &layerhub::cli::versions,
            "d"},
    Command{"explain", "LAYER", "which kernel would serve a layer here, and why not another", &layerhub::cli::explain,
            "dm"},
    Command{"lock", nullptr, "pin what a mapping comes to here: repository, variant, library, digest, kernels",
            &layerhub::cli::lock, "mo"},
};

// A table that is cut off because the disk is full must not look like a short table.
int written(int status) {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fprintf(stderr, "layerhub: standard output: it can't be written; free the disk or write elsewhere\n");
    return 1;
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Shows the kernel plugins that this machine has.", "layerhub");
  app.require_subcommand(0, 1);  // none is asked for below: CLI11 would not name the word that is no command
  layerhub::cli::Options options;
  for (const Command& command : commands) {
    CLI::App* sub = app.add_subcommand(command.name, command.help);
    sub->add_flag("--json", options.json, "JSON instead of a table");
    sub->add_option("--plugins", options.plugins, "a plugin directory, before those of LAYERHUB_PATH; may be repeated");
    const std::string_view takes = command.takes;
    if (takes.find('d') != std::string_view::npos) {
      sub->add_option("--device", options.device, "the device type");
    }
    if (takes.find('m') != std::string_view::npos) {
      sub->add_option("--mapping", options.mapping, "a mapping file; without one, what the automatic mapping finds");
      sub->add_option("--mode", options.mode, "inference or training, with |capture or |deterministic behind it");
    }
    if (takes.find('o') != std::string_view::npos) {
      sub->add_option("-o,--output", options.output, "write it to this file");
      sub->add_flag("--hub", options.hub, "the Hub's kernels.lock, to standard output");
    }
    if (command.subject != nullptr) {
      sub->add_option(command.subject, options.subject)->required();
    }
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    for (const Command& command : commands) {
      if (app.got_subcommand(command.name)) {
        layerhub::set_plugin_roots(options.plugins);  // for what asks the loader itself
        return written(command.run(options));
      }
    }
    std::fputs(app.help().c_str(), stderr);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "layerhub: %s\n", error.what());
  }
  return 1;
}
