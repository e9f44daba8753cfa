// Refresh, log out, and whether a token is good: on Postgres, where what has ended stays ended.
import Contract
import Foundation
import GRPCCore
import ServiceKit
import TestSupport
import Testing

@testable import Auth

extension AuthServiceTests {
    @Suite struct TokenTests {
        private func expectRefusal(_ call: () async throws -> Void, _ message: String) async {
            let error = await status(call)
            #expect(error?.code == .unauthenticated)
            #expect(error?.message == message)
        }

        private func expectRefused(refresh token: String, _ world: World) async {
            await expectRefusal({ _ = try await world.refresh(token) }, "the refresh token is not valid; log in again")
        }

        private func expectRefused(access token: String, _ world: World) async {
            await expectRefusal({ _ = try await world.verify(token) }, "a valid access token is required")
        }

        @Test func refresh__gives_new_tokens_of_the_same_device() async throws {
            try await withAuth { world in
                var answer = try await world.register("ada")
                let (user, device) = (answer.userID, answer.deviceID)
                var seen: Set = [answer.refreshToken]
                for _ in 0..<5 {
                    answer = try await world.refresh(answer.refreshToken)
                    #expect((answer.userID, answer.deviceID) == (user, device))
                    #expect(seen.insert(answer.refreshToken).inserted)
                    #expect(try await world.verify(answer.accessToken).deviceID == device)
                }
                #expect(try await world.changes(of: user).isEmpty)
            }
        }

        @Test func refresh__with_a_used_token_ends_the_device_and_tells_the_log() async throws {
            try await withAuth { world in
                let first = try await world.register("ada")
                let other = try await world.logIn("ada")
                let second = try await world.refresh(first.refreshToken)
                let third = try await world.refresh(second.refreshToken)
                // The successor has been used, so the first answer was not lost.
                await expectRefused(refresh: first.refreshToken, world)

                for access in [first, second, third].map(\.accessToken) { await expectRefused(access: access, world) }
                for token in [first, second, third].map(\.refreshToken) { await expectRefused(refresh: token, world) }
                let changes = try await world.changes(of: first.userID)
                #expect(changes.map(\.change) == [.added, .revoked])
                #expect(changes.last?.deviceID == first.deviceID)
                // The other device is another family.
                #expect(try await world.verify(other.accessToken).deviceID == other.deviceID)
                _ = try await world.refresh(other.refreshToken)
            }
        }

        @Test func refresh__whose_answer_was_lost_brings_the_same_successor_again() async throws {
            try await withAuth { world in
                let first = try await world.register("ada")
                let lost = try await world.refresh(first.refreshToken)
                let again = try await world.refresh(first.refreshToken)
                #expect(again.refreshToken == lost.refreshToken)
                _ = try await world.verify(again.accessToken)
                _ = try await world.refresh(again.refreshToken)
                #expect(try await world.changes(of: first.userID).isEmpty)
                #expect(try await world.count("SELECT count(*) FROM auth.refresh_tokens") == 3)
            }
        }

        @Test func refresh__after_the_grace_is_a_second_use() async throws {
            try await withAuth { world in
                let first = try await world.register("ada")
                let second = try await world.refresh(first.refreshToken)
                try await world.database.client.query(
                    "UPDATE auth.refresh_tokens SET rotated_at = rotated_at - interval '31 seconds'")
                await expectRefused(refresh: first.refreshToken, world)
                await expectRefused(refresh: second.refreshToken, world)
                #expect(try await world.changes(of: first.userID).map(\.change) == [.revoked])
            }
        }

        @Test func refresh__by_64_at_once_has_exactly_one_successor() async throws {
            var settings = AuthSettings()
            settings.deviceLimit = RateLimit(64, per: .seconds(60))
            try await withAuth(settings) { world in
                let first = try await world.register("ada")
                let results = await together(64) { try await world.refresh(first.refreshToken) }
                let successors = Set(results.compactMap { try? $0.get().refreshToken })
                #expect(results.allSatisfy { $0.code == nil })
                #expect(successors.count == 1)
                #expect(try await world.count("SELECT count(*) FROM auth.refresh_tokens") == 2)
                #expect(try await world.changes(of: first.userID).isEmpty)
            }
        }

        @Test func refresh__beyond_the_devices_limit_is_told_when_to_come_back_and_uses_nothing_up() async throws {
            var settings = AuthSettings()
            settings.deviceLimit = RateLimit(2, per: .seconds(600))
            try await withAuth(settings) { world in
                var answer = try await world.register("ada")
                for _ in 0..<2 { answer = try await world.refresh(answer.refreshToken) }
                let token = answer.refreshToken
                let error = await status { _ = try await world.refresh(token) }
                #expect(error?.code == .resourceExhausted)
                #expect(error?.retryAfterMilliseconds ?? 0 > 100_000)
                #expect(
                    try await world.count("SELECT count(*) FROM auth.refresh_tokens WHERE rotated_at IS NULL") == 1)
            }
        }

        @Test func refresh__of_many_devices_at_once_mixes_nothing_up() async throws {
            try await withAuth { world in
                _ = try await world.register("ada")
                for _ in 0..<4 {
                    let session = try await world.logIn("ada")
                    let next = try await world.refresh(session.refreshToken)
                    #expect(next.deviceID == session.deviceID)
                }
            }
        }

        @Test func refresh__refuses_what_it_never_gave() async throws {
            try await withAuth { world in
                let answer = try await world.register("ada")
                for token in [
                    "", "x", RefreshToken().text, answer.accessToken, answer.refreshToken + "A",
                    String(answer.refreshToken.dropLast()), String(repeating: "A", count: 43),
                    String(repeating: "A", count: 1 << 20), "'; DROP TABLE auth.refresh_tokens; --",
                ] {
                    await expectRefused(refresh: token, world)
                }
                _ = try await world.refresh(answer.refreshToken)
            }
        }

        @Test func refresh__refuses_an_expired_token_and_ends_nothing() async throws {
            try await withAuth { world in
                let answer = try await world.register("ada")
                try await world.database.client.query(
                    "UPDATE auth.refresh_tokens SET expires_at = now() - interval '1 second'")
                await expectRefused(refresh: answer.refreshToken, world)
                _ = try await world.verify(answer.accessToken)
                #expect(try await world.changes(of: answer.userID).isEmpty)
            }
        }

        @Test func refresh__tokens_last_30_days_and_forget_what_has_expired() async throws {
            try await withAuth { world in
                var answer = try await world.register("ada")
                let days = "SELECT extract(day FROM max(expires_at) - now())::int FROM auth.refresh_tokens"
                #expect(try await world.count(.init(stringLiteral: days)) == 29)
                for _ in 0..<3 { answer = try await world.refresh(answer.refreshToken) }
                #expect(try await world.count("SELECT count(*) FROM auth.refresh_tokens") == 4)
                try await world.database.client.query(
                    """
                    UPDATE auth.refresh_tokens SET expires_at = now() - interval '1 second'
                    WHERE rotated_at IS NOT NULL
                    """)
                _ = try await world.refresh(answer.refreshToken)
                #expect(try await world.count("SELECT count(*) FROM auth.refresh_tokens") == 2)
            }
        }

        @Test func logOut__ends_the_calling_device_only() async throws {
            try await withAuth { world in
                let laptop = try await world.register("ada")
                let phone = try await world.logIn("ada")
                try await world.logOut(laptop.accessToken)

                await expectRefused(access: laptop.accessToken, world)
                await expectRefused(refresh: laptop.refreshToken, world)
                await expectRefusal({ try await world.logOut(laptop.accessToken) }, "a valid access token is required")
                _ = try await world.verify(phone.accessToken)
                let changes = try await world.changes(of: laptop.userID)
                #expect(changes.map(\.change) == [.added, .revoked])
                #expect(changes.last?.deviceID == laptop.deviceID)
            }
        }

        @Test func logOut__many_times_at_once_is_told_once() async throws {
            try await withAuth { world in
                let answer = try await world.register("ada")
                let results = await together(8) { try await world.logOut(answer.accessToken) }
                #expect(results.contains { $0.code == nil })
                #expect(results.allSatisfy { $0.code == nil || $0.code == .unauthenticated })
                #expect(try await world.changes(of: answer.userID).map(\.change) == [.revoked])
            }
        }

        @Test func logOut__needs_a_good_token() async throws {
            try await withAuth { world in
                let answer = try await world.register("ada")
                await expectRefusal({ _ = try await world.auth.logOut(.init()) }, "a valid access token is required")
                for token in ["", "x", answer.refreshToken, answer.accessToken + "A"] {
                    await expectRefusal({ try await world.logOut(token) }, "a valid access token is required")
                }
                _ = try await world.verify(answer.accessToken)
            }
        }

        @Test func logOut__against_refresh_leaves_nothing_that_works() async throws {
            try await withAuth { world in
                for round in 0..<6 {
                    let answer = try await world.register("user\(round)")
                    async let out: Void = world.logOut(answer.accessToken)
                    let next = try? await world.refresh(answer.refreshToken)
                    try await out
                    await expectRefused(access: answer.accessToken, world)
                    if let next {
                        await expectRefused(access: next.accessToken, world)
                        await expectRefused(refresh: next.refreshToken, world)
                    }
                    #expect(try await world.changes(of: answer.userID).map(\.change) == [.revoked])
                }
            }
        }

        @Test func verify__refuses_all_that_is_not_good_with_one_text() async throws {
            try await withAuth { world in
                let answer = try await world.register("ada")
                let good = try await world.verify(answer.accessToken)
                #expect(good.expiresAt > 1_700_000_000)
                let keys = try await AuthStore(postgres: world.database.client).signingKeys()
                let tokens = AccessTokens(keys: try SigningKeys(keys), settings: AuthSettings())
                let stranger = AccessTokens(keys: try SigningKeys([SigningKey()]), settings: AuthSettings())
                let (user, device) = (answer.userID, answer.deviceID)
                for token in [
                    "", "x", "a.b.c", answer.refreshToken, answer.accessToken + "A",
                    String(repeating: "A", count: 1 << 20),
                    try stranger.issue(user: user, device: device),
                    try tokens.issue(user: user, device: device, now: .now - 600),
                    // Well signed, but of nobody: no such device, or another user's.
                    try tokens.issue(user: user, device: device + 1),
                    try tokens.issue(user: user + 1, device: device),
                    try tokens.issue(user: 0, device: 0),
                ] {
                    await expectRefused(access: token, world)
                }
                _ = try await world.verify(tokens.issue(user: user, device: device))
            }
        }

        @Test func verify__is_not_served_to_clients() async throws {
            try await withAuth(door: .network) { world in
                let answer = try await world.register("ada")
                let error = await status { _ = try await world.verify(answer.accessToken) }
                #expect(error?.code == .unimplemented)
            }
        }
    }
}
