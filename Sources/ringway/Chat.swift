// `ringway chat`: two people in two terminals. An account at first use, friends, and messages that are told to be
// sent when they are. Lines in, lines out: it works in a terminal and in a pipe.
import ArgumentParser
import Foundation
import RingwayClient

struct Chat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Talk to friends from the terminal; makes the account at first use.",
        discussion: """
            The password is asked for, or taken from RINGWAY_PASSWORD, the first time. What is needed later is kept \
            in ~/.config/ringway (RINGWAY_HOME overrides), readable by its owner only.

            \(ChatRoom.help)
            """)

    @Option(name: .customLong("as"), help: "The username.")
    var username: String

    @Option(help: "The server's HTTP address.")
    var server = "http://127.0.0.1:7401"

    @Option(help: "How many seconds to stay and print what arrives when the input has ended.")
    var linger = 0.0

    @Option(
        name: .customLong("ca-file"),
        help: "Certificates of authorities to trust beside the system's, a PEM file; or RINGWAY_CA_FILE.")
    var authoritiesFile: String?

    func run() async throws {
        try await complaining {
            let authorities = try trustedAuthorities()
            let store = try ChatStore(server: server, name: username)
            let (credentials, lastSeq) = try await ChatLogIn(
                server: server, username: username, authorities: authorities
            ).run(store)
            var configuration = RingwayClient.Configuration(httpURL: server)
            configuration.trustedAuthorities = authorities
            let client = RingwayClient(
                configuration: configuration, credentials: credentials,
                onCredentialsChange: { await store.keep(credentials: $0) })
            let room = ChatRoom(client: client, username: username, userID: credentials.userID, store: store)
            await room.say("you are \(username), id \(credentials.userID)")
            await client.connect(since: lastSeq)
            let typing = Task {
                for await line in ChatInput.lines() { await room.handle(line) }
                await room.settle()
                try await Task.sleep(for: .seconds(linger))
                await client.close()
            }
            defer { typing.cancel() }
            try await room.showEvents()
        }
    }

    private func trustedAuthorities() throws -> TrustedAuthorities? {
        guard let file = authoritiesFile ?? ProcessInfo.processInfo.environment["RINGWAY_CA_FILE"], !file.isEmpty else {
            return nil
        }
        do {
            return try TrustedAuthorities(pemFile: file)
        } catch {
            throw Complaint(line: "--ca-file: \(error.message)", code: 64)
        }
    }
}

/// Gets the device's credentials: the stored ones, or those of a log-in, or those of a new account.
struct ChatLogIn {
    let server: String
    let username: String
    let authorities: TrustedAuthorities?

    func run(_ store: ChatStore) async throws -> (Credentials, lastSeq: Int64) {
        let state = await store.state
        if let credentials = state.credentials { return (credentials, state.lastSeq) }
        guard let password = ChatInput.password(of: username), !password.isEmpty else {
            throw Complaint(line: "no password for \(username): type one in a terminal, or set RINGWAY_PASSWORD")
        }
        let credentials = try await reachingServer { try await logInOrRegister(password: password) }
        await store.keep(credentials: credentials)
        return (credentials, state.lastSeq)
    }

    private func logInOrRegister(password: String) async throws -> Credentials {
        var device = RingwayClient.Device()
        device.name = String(ProcessInfo.processInfo.hostName.prefix(48)) + " (chat)"
        device.platform = "terminal"
        do {
            return try await RingwayClient.logIn(
                username: username, password: password, device: device, at: server, trusting: authorities)
        } catch let error as RingwayError where error.code == "UNAUTHENTICATED" {
            do {
                return try await RingwayClient.register(
                    username: username, password: password, device: device, at: server, trusting: authorities)
            } catch let error as RingwayError where error.code == "ALREADY_EXISTS" {
                throw Complaint(line: "wrong password for \(username)")
            }
        }
    }

    /// Says once that there is no server, or a busy one, and goes on trying.
    private func reachingServer<Answer>(_ call: () async throws -> Answer) async throws -> Answer {
        var isTold = false
        while true {
            do {
                return try await call()
            } catch let error as RingwayError where ["UNAVAILABLE", "RESOURCE_EXHAUSTED"].contains(error.code) {
                if !isTold { ChatInput.print("-- \(error.message); trying until it answers") }
                isTold = true
                try await Task.sleep(for: error.retryAfter ?? .seconds(1))
            } catch let error as RingwayError {
                throw Complaint(line: error.message)
            }
        }
    }
}
