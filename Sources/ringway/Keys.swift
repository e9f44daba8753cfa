// `ringway keys`: the keys that access tokens are signed with.
import ArgumentParser
import Auth
import Foundation

#if canImport(Glibc)
import Glibc
#endif

struct Keys: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The keys that access tokens are signed with.", subcommands: [List.self, Rotate.self, Revoke.self])

    struct Rotate: SettingsCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new key, publish it, and let it sign after a while; no node restarts.",
            discussion: """
                The new key stands in /.well-known/jwks.json within the nodes' maintenance interval, which readers may keep \
                for 30 s, and signs after the delay. The old one is kept until its last token has expired; the next rotation \
                removes it.
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

    struct List: SettingsCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the keys, the newest first.",
            discussion: """
                A line a key: its id; waits (published, and signs from the time that follows), signs, verifies (an older one \
                whose tokens are still good) or revoked; and since when.
                """)

        @Argument(parsing: .captureForPassthrough, help: "--postgres-url; see ringway serve --help.")
        var arguments: [String] = []

        func run() async throws {
            try await complaining {
                let database = Database(try settings())
                try await database.requireCurrent()
                for key in try await SigningKeys.list(from: database.client) {
                    print("\(key.kid)  \(key.state.rawValue)  \(key.since.formatted(.iso8601))")
                }
                await database.shutdown()
            }
        }
    }

    struct Revoke: SettingsCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take back a key that may be in wrong hands: every token that it has signed is refused at once.",
            discussion: """
                On every node, within a second: its access tokens are refused, its sockets close with 4501, and the key is \
                gone from /.well-known/jwks.json, which others may keep for 30 s. Clients get new tokens with their refresh \
                tokens, which no key signs. If it was the key that signs, the next one signs from now on: of those that wait \
                the first, or a new one.

                Who may have read the database may have all keys: revoke each that ringway keys list shows. One whose id \
                begins with a dash, which no new one does, stands behind --: ringway keys revoke --yes -- -ID.
                """)

        @Argument(help: "The key's id, as ringway keys list shows it.")
        var kid: String

        @Flag(name: .shortAndLong, help: "Do it without asking.")
        var yes = false

        /// Whatever stands behind the id comes here, --yes too.
        @Argument(
            parsing: .captureForPassthrough,
            help: ArgumentHelp("--postgres-url; see ringway serve --help.", valueName: "arguments"))
        var rest: [String] = []

        private static let consent: Set<String> = ["--yes", "-y"]

        var arguments: [String] { rest.filter { !Self.consent.contains($0) } }

        func run() async throws {
            try await complaining {
                let database = Database(try settings())
                try await database.requireCurrent()
                try confirm()
                switch try await SigningKeys.revoke(kid, in: database.client) {
                case .revoked(let successor):
                    print("revoked \(kid)")
                    if let successor { print("\(successor) signs from now on") }
                case .alreadyRevoked: throw Complaint(line: "\(kid) has been revoked before")
                case .unknown: throw Complaint(line: "there is no key \(kid); ringway keys list shows those that there are")
                }
                await database.shutdown()
            }
        }

        /// Whoever is logged in has to refresh their tokens at once, so nobody does this by a slip.
        private func confirm() throws {
            if yes || !Self.consent.isDisjoint(with: rest) { return }
            guard isatty(STDIN_FILENO) == 1 else {
                throw Complaint(line: "nobody is there to be asked; --yes revokes without asking", code: 64)
            }
            print("Refuse every token that \(kid) has signed? [y/N] ", terminator: "")
            OutputStream.flush()
            guard let answer = readLine()?.lowercased(), ["y", "yes"].contains(answer) else {
                throw Complaint(line: "nothing was revoked")
            }
        }
    }
}
