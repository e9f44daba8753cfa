// Register and log in.
import Contract
import GRPCCore
import ServiceKit
import TestSupport
import Testing

@testable import Auth

extension AuthServiceTests {
    @Suite struct AccountTests {
        @Test func register__makes_account_profile_log_and_device_at_once() async throws {
            try await withAuth { world in
                let answer = try await world.register("Ada")
                #expect(answer.userID > 0)
                #expect(answer.deviceID > 0)
                #expect(answer.expiresIn == 600)
                #expect(answer.refreshToken.utf8.count == 43)
                let token = try await world.verify(answer.accessToken)
                #expect((token.userID, token.deviceID) == (answer.userID, answer.deviceID))

                let user = answer.userID
                #expect(
                    try await world.count(
                        "SELECT count(*) FROM profile.profiles WHERE user_id = \(user) AND nickname = 'ada'") == 1)
                #expect(try await world.count("SELECT seq FROM inbox.heads WHERE user_id = \(user)") == 0)
                #expect(try await world.changes(of: user).isEmpty)
            }
        }

        @Test func register__keeps_no_secret_as_it_came() async throws {
            try await withAuth { world in
                let answer = try await world.register("ada", "correct horse battery")
                let rows = try await world.database.client.query(
                    """
                    SELECT a.password_hash, t.digest FROM auth.accounts a JOIN auth.refresh_tokens t ON t.user_id = a.id
                    """)
                let (hash, digest) = try rows[0].decode(String.self, [UInt8].self)
                #expect(hash.hasPrefix("$argon2id$"))
                #expect(!hash.contains("correct"))
                #expect(digest.count == 32)
                #expect(!answer.refreshToken.utf8.starts(with: digest))
            }
        }

        @Test func register__refuses_a_taken_name_in_any_case() async throws {
            try await withAuth { world in
                _ = try await world.register("ada")
                for name in ["ada", "ADA", "Ada"] {
                    #expect(await status { _ = try await world.register(name) }?.code == .alreadyExists)
                }
                #expect(try await world.count("SELECT count(*) FROM profile.profiles") == 1)
                #expect(try await world.count("SELECT count(*) FROM inbox.heads") == 1)
                #expect(try await world.count("SELECT count(*) FROM auth.devices") == 1)
            }
        }

        @Test func register__refuses_names_that_are_taken_for_the_operators() async throws {
            try await withAuth { world in
                for name in ["admin", "Admin", "ad-min", "a.d_m-i.n", "ａｄｍｉｎ", "support_", "adm1n", "r00t"] {
                    #expect(await status { _ = try await world.register(name) }?.code == .alreadyExists)
                }
                for name in ["admina", "nimda", "admin1"] { _ = try await world.register(name) }
            }
            var settings = AuthSettings()
            settings.reservedUsernames = try #require(ReservedUsernames(["king"]))
            #expect(ReservedUsernames(["king", "no name"]) == nil)
            let both = try #require(ReservedUsernames(["king", "usual"]))
            for name in ["king", "admin"] { #expect(try both.contains(Username(name))) }
            try await withAuth(settings) { world in
                #expect(await status { _ = try await world.register("k-i-n-g") }?.code == .alreadyExists)
                _ = try await world.register("admin")
            }
        }

        @Test func register__of_one_name_by_many_has_one_winner() async throws {
            try await withAuth { world in
                let results = await together(8) { try await world.register("ada") }
                #expect(results.count { (try? $0.get()) != nil } == 1)
                #expect(results.count { $0.code == .alreadyExists } == 7)
                let count = try await world.count("SELECT count(*) FROM inbox.heads")
                #expect(count == 1)
            }
        }

        @Test func register__refuses_what_the_rules_refuse() async throws {
            try await withAuth { world in
                let good = Ringway_V1_RegisterRequest.with {
                    ($0.username, $0.password, $0.device) = ("ada", "correct horse", .laptop)
                }
                let changes: [(inout Ringway_V1_RegisterRequest) -> Void] = [
                    { $0.username = "" }, { $0.username = "1ada" }, { $0.username = "a'--" },
                    { $0.username = String(repeating: "a", count: 1 << 20) },
                    { $0.password = "" }, { $0.password = "1234567" },
                    { $0.password = String(repeating: "a", count: 1 << 20) },
                    { $0.clearDevice() }, { $0.device.name = "" }, { $0.device.platform = "a\nb" },
                    { $0.device.name = String(repeating: "a", count: 65) },
                ]
                for change in changes {
                    var request = good
                    change(&request)
                    let error = await status { _ = try await world.auth.register(request) }
                    #expect(error?.code == .invalidArgument)
                    #expect(error?.message.contains(" must ") == true)
                }
                let count = try await world.count("SELECT count(*) FROM auth.accounts")
                #expect(count == 0)
            }
        }

        @Test func register__is_all_or_nothing() async throws {
            try await withAuth { world in
                try await world.database.client.query("ALTER TABLE auth.refresh_tokens ADD CHECK (false)")
                let error = await status { _ = try await world.register("ada") }
                #expect(error?.code == .internalError)
                #expect(error?.message == "internal error")
                #expect(try await world.count("SELECT count(*) FROM auth.accounts") == 0)
                #expect(try await world.count("SELECT count(*) FROM profile.profiles") == 0)
                #expect(try await world.count("SELECT count(*) FROM inbox.heads") == 0)
            }
        }

        @Test func logIn__adds_a_device_and_tells_the_log() async throws {
            try await withAuth { world in
                let first = try await world.register("ada")
                let second = try await world.logIn("ADA")
                #expect(second.userID == first.userID)
                #expect(second.deviceID != first.deviceID)
                #expect(try await world.verify(second.accessToken).deviceID == second.deviceID)
                #expect(try await world.verify(first.accessToken).deviceID == first.deviceID)
                let changes = try await world.changes(of: first.userID)
                #expect(changes.map(\.change) == [.added])
                #expect(changes.map(\.deviceID) == [second.deviceID])
            }
        }

        @Test func logIn__tells_an_unknown_user_and_a_wrong_password_alike() async throws {
            try await withAuth { world in
                let user = try await world.register("ada").userID
                let clock = ContinuousClock()
                var (wrong, unknown) = ([Duration](), [Duration]())
                for _ in 0..<5 {
                    wrong.append(
                        await clock.measure { await expectRefusal { _ = try await world.logIn("ada", "wrong one") } })
                    unknown.append(
                        await clock.measure { await expectRefusal { _ = try await world.logIn("joan", "wrong one") } })
                }
                let ratio = wrong.min()! / unknown.min()!
                // Without the stand-in it would be a hundred; a busy machine alone makes it two.
                #expect(0.2...5 ~= ratio)
                for (name, password) in [
                    ("", "wrong one"), ("ada", ""), ("ada'--", "wrong one"), ("ada", "correct hors\0"),
                ] {
                    await expectRefusal { _ = try await world.logIn(name, password) }
                }
                #expect(try await world.count("SELECT count(*) FROM auth.devices") == 1)
                #expect(try await world.changes(of: user).isEmpty)
            }
        }

        private func expectRefusal(_ call: () async throws -> Void) async {
            let error = await status(call)
            #expect(error?.code == .unauthenticated)
            #expect(error?.message == "unknown user or wrong password")
            #expect(error?.metadata.isEmpty == true)
        }

        @Test func logIn__needs_a_device() async throws {
            try await withAuth { world in
                _ = try await world.register("ada")
                let error = await status {
                    _ = try await world.auth.logIn(.with { ($0.username, $0.password) = ("ada", "correct horse") })
                }
                #expect(error?.code == .invalidArgument)
            }
        }

        @Test func logIn__knows_the_password_however_its_accents_are_typed() async throws {
            try await withAuth { world in
                _ = try await world.register("ada", "Lovela\u{301}ce")
                _ = try await world.logIn("ada", "Lovel\u{e1}ce")
            }
        }

        @Test func logIn__beyond_the_queue_is_told_when_to_come_back() async throws {
            var settings = AuthSettings()
            settings.hasherThreads = 1
            settings.hasherQueue = 2
            try await withAuth(settings) { world in
                _ = try await world.register("ada")
                let results = await together(24) { try await world.logIn("ada") }
                let refusals = results.compactMap(\.error)
                #expect(refusals.count > 0)
                #expect(refusals.count < 24)
                for error in refusals {
                    #expect(error.code == .resourceExhausted)
                    #expect(1...60_000 ~= error.retryAfterMilliseconds ?? 0)
                }
            }
        }

        @Test func start__of_two_nodes_at_once_makes_one_key_that_both_know() async throws {
            try await TestDatabase.with { database in
                let handlers = try await withThrowingTaskGroup(of: AuthHandler.self) { group in
                    for _ in 0..<4 {
                        group.addTask { try await .start(postgres: database.client, settings: AuthSettings(), peers: .none) }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                let keys = try await database.client.query("SELECT count(*) FROM auth.signing_keys")[0].decode(Int.self)
                #expect(keys == 1)
                var token: String?
                for handler in handlers {
                    try await withServer([handler]) { client in
                        let world = World(auth: .init(wrapping: client), handler: handler, database: database)
                        if let token { _ = try await world.verify(token) } else {
                            token = try await world.register("ada").accessToken
                        }
                    }
                }
            }
        }
    }
}

extension Result where Failure == RPCError {
    var error: RPCError? {
        if case .failure(let error) = self { error } else { nil }
    }

    var code: RPCError.Code? { error?.code }
}
