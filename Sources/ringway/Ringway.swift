// The one binary: the whole system on a laptop, and each of its tools.
import ArgumentParser
import ServiceKit

@main
struct Ringway: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ringway",
        abstract: "A real-time gateway and the user system behind it.",
        version: Version.current,
        subcommands: [Serve.self, Migrate.self, Keys.self, Seed.self, Chat.self, Echo.self, Routes.self, Cost.self])
}
