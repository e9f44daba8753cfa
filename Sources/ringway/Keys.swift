// `ringway keys`: the keys that access tokens are signed with.
import ArgumentParser
import Auth

struct Keys: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The keys that access tokens are signed with.", subcommands: [Rotate.self])

    struct Rotate: SettingsCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new key, publish it, and let it sign after a while; no node restarts.",
            discussion: """
                The new key stands in /.well-known/jwks.json within the nodes' maintenance interval and signs after the \
                delay. The old one is kept until its last token has expired; the next rotation removes it.
                """)

        @Option(help: "Seconds from now until the new key signs; nodes and readers of the key set need them.")
        var delay = 600

        @Argument(parsing: .captureForPassthrough, help: "--postgres-url; see ringway serve --help.")
        var arguments: [String] = []

        func validate() throws {
            guard 60...86_400 ~= delay else { throw ValidationError("--delay must be from 60 to 86400 seconds") }
        }

        func run() async throws {
            try await complaining {
                let database = Database(try settings())
                try await database.requireCurrent()
                let rotation = try await SigningKeys.rotate(in: database.client, delay: .seconds(delay))
                print("added \(rotation.added); it signs in \(delay) s")
                for kid in rotation.dropped { print("dropped \(kid)") }
                await database.shutdown()
            }
        }
    }
}
