// `ringway cost`: prints what Auth's own work costs, as lines of JSON, for the benchmark (bench/run.sh services).
import ArgumentParser
import Auth

struct Cost: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what checking a token and a password costs.", shouldDisplay: false)

    @Option(help: "How many tokens.")
    var tokens = 10_000

    @Option(help: "For how many seconds to hash.")
    var seconds = 3

    func validate() throws {
        guard 1...60_000 ~= tokens, 1...60 ~= seconds else { throw ValidationError("--tokens or --seconds is out of range") }
    }

    func run() async throws {
        let (first, again) = try AuthCost.verification(tokens: tokens)
        print(#"{"phase":"token","first_us":\#(first / .microseconds(1)),"again_us":\#(again / .microseconds(1))}"#)
        print(#"{"phase":"argon2","hashes_per_s":\#(try await AuthCost.hashes(for: .seconds(seconds)))}"#)
    }
}
