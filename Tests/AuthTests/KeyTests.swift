// Signing keys in the database: they change without a refused token, and what is revoked counts at once for nothing.
import Foundation
import Postgres
import ServiceKit
import TestSupport
import Testing

@testable import Auth

extension AuthServiceTests {
    @Suite struct KeyTests {
        @Test func rotation__publishes_signs_and_drops_without_refusing_a_token() async throws {
            try await withAuth { world in
                let before = try await world.register("ada").accessToken
                let client = world.database.client
                let rotation = try await SigningKeys.rotate(in: client, delay: .seconds(600))
                #expect(rotation.dropped.isEmpty)
                try await world.handler.maintainOnce()
                let published = try await world.auth.listKeys(.init()).keys.map(\.kid)
                #expect(published.count == 2)
                #expect(published.first == rotation.added)
                // Published, and not signing yet.
                let between = try await world.logIn("ada").accessToken
                #expect(try kid(of: between) != rotation.added)

                try await client.query("UPDATE auth.signing_keys SET signs_from = signs_from - interval '601 seconds'")
                try await world.handler.maintainOnce()
                let after = try await world.logIn("ada").accessToken
                #expect(try kid(of: after) == rotation.added)
                for token in [before, between, after] { _ = try await world.verify(token) }

                #expect(try await SigningKeys.rotate(in: client, delay: .seconds(600)).dropped.isEmpty)
                try await client.query(
                    "UPDATE auth.signing_keys SET signs_from = signs_from - interval '2 hours' WHERE signs_from <= now()")
                let last = try await SigningKeys.rotate(in: client, delay: .seconds(600))
                #expect(last.dropped == [try kid(of: before)])
            }
        }

        @Test func revocation__of_what_is_no_key_changes_nothing() async throws {
            try await withAuth { world in
                let client = world.database.client
                let before = try await SigningKeys.list(from: client)
                for kid in ["", "x", before[0].kid + "x", before[0].kid.lowercased(), "' OR true --", "%"] {
                    #expect(try await SigningKeys.revoke(kid, in: client) == .unknown)
                }
                #expect(try await SigningKeys.list(from: client) == before)
                #expect(before.map(\.state) == [.signs])
            }
        }

        @Test func revocation__of_the_only_key_makes_another_and_refuses_what_was_signed() async throws {
            try await withAuth { world in
                let client = world.database.client
                let ada = try await world.register("ada")
                _ = try await world.verify(ada.accessToken)
                let old = try kid(of: ada.accessToken)
                guard case .revoked(let successor?) = try await SigningKeys.revoke(old, in: client) else {
                    Issue.record("nothing signs")
                    return
                }
                #expect(try await SigningKeys.list(from: client).map(\.kid) == [successor, old])
                #expect(try await SigningKeys.list(from: client).map(\.state) == [.signs, .revoked])
                // Its secret is kept nowhere.
                #expect(try await world.count("SELECT count(*) FROM auth.signing_keys WHERE kid = \(old)") == 0)
                try await world.handler.maintainOnce()
                #expect(await status { _ = try await world.verify(ada.accessToken) }?.code == .unauthenticated)
                #expect(try await world.auth.listKeys(.init()).keys.map(\.kid) == [successor])
                let fresh = try await world.refresh(ada.refreshToken)
                #expect(try kid(of: fresh.accessToken) == successor)
                _ = try await world.verify(fresh.accessToken)
                #expect(try await SigningKeys.revoke(old, in: client) == .alreadyRevoked)
            }
        }

        @Test func revocation__lets_the_first_that_waits_sign_and_leaves_the_others() async throws {
            try await withAuth { world in
                let client = world.database.client
                let signer = try await SigningKeys.list(from: client)[0].kid
                let first = try await SigningKeys.rotate(in: client, delay: .seconds(600)).added
                let second = try await SigningKeys.rotate(in: client, delay: .seconds(900)).added
                #expect(try await SigningKeys.revoke(second, in: client) == .revoked(successor: nil))
                let third = try await SigningKeys.rotate(in: client, delay: .seconds(900)).added
                #expect(try await SigningKeys.revoke(signer, in: client) == .revoked(successor: first))
                let records = try await SigningKeys.list(from: client)
                #expect(Array(records.map(\.kid).prefix(2)) == [third, first])
                #expect(records.map(\.state) == [.waits, .signs, .revoked, .revoked])
                try await world.handler.maintainOnce()
                let ada = try await world.register("ada")
                #expect(try kid(of: ada.accessToken) == first)
            }
        }

        @Test func revocations__at_once_always_leave_a_key_that_signs() async throws {
            try await withAuth { world in
                let client = world.database.client
                for _ in 0..<4 {
                    _ = try await SigningKeys.rotate(in: client, delay: .seconds(60))
                    let keys = try await SigningKeys.list(from: client).filter { $0.state != .revoked }
                    await revokeAtOnce((keys + keys).map(\.kid), in: client)
                    let left = try await SigningKeys.list(from: client).filter { $0.state != .revoked }
                    #expect(left.count { $0.state == .signs } == 1)
                    #expect(Set(left.map(\.kid)).isDisjoint(with: keys.map(\.kid)))
                    try await world.handler.maintainOnce()
                    _ = try await world.register("user\(UInt32.random(in: .min ... .max))")
                }
            }
        }

        @Test func revoked_ids__are_told_to_services_for_30_days() async throws {
            try await withAuth { world in
                let client = world.database.client
                let first = try await SigningKeys.list(from: client)[0].kid
                _ = try await SigningKeys.revoke(first, in: client)
                #expect(try await world.handler.store.revokedKeys() == [first])
                try await client.query("UPDATE auth.revoked_keys SET revoked_at = revoked_at - interval '31 days'")
                let second = try await SigningKeys.list(from: client)[0].kid
                _ = try await SigningKeys.revoke(second, in: client)
                #expect(try await world.handler.store.revokedKeys() == [second])
            }
        }

        private func revokeAtOnce(_ kids: [String], in client: PostgresClient) async {
            await withTaskGroup(of: Void.self) { group in
                for kid in kids { group.addTask { _ = try? await SigningKeys.revoke(kid, in: client) } }
            }
        }

        private func kid(of token: String) throws -> String {
            let first = try #require(token.split(separator: ".").first)
            let header = try #require(Base64URL.decode(first.utf8))
            return try #require(try JSONDecoder().decode([String: String].self, from: Data(header))["kid"])
        }
    }
}
