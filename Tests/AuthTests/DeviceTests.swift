// Devices and the account's own calls: what each ends, tells, refuses and limits.
import Contract
import Foundation
import GRPCCore
import Inbox
import Logging
import Outbox
import Postgres
import ServiceKit
import TestSupport
import Testing

@testable import Auth

extension AuthServiceTests {
    @Suite struct DeviceTests {
        private func isRefused(_ token: String, _ world: World) async -> Bool {
            await status { _ = try await world.verify(token) }?.code == .unauthenticated
        }

        @Test func list__tells_all_that_is_logged_in_and_which_one_asks() async throws {
            try await withAuth { world in
                let laptop = try await world.register("ada")
                let phone = try await world.logIn("ada")
                _ = try await world.register("bob")
                let devices = try await world.auth.listDevices(.init(), metadata: .bearer(laptop.accessToken)).devices
                #expect(devices.map(\.id) == [phone.deviceID, laptop.deviceID])
                #expect(devices.map(\.current) == [false, true])
                #expect(devices.allSatisfy { $0.name == "Ada's laptop" && $0.platform == "linux" })
                #expect(devices.allSatisfy { abs($0.firstSeenAt.date.timeIntervalSinceNow) < 60 })
                #expect(devices.allSatisfy { $0.lastSeenAt.date >= $0.firstSeenAt.date })
            }
        }

        @Test func device__shows_the_address_and_time_of_its_last_refresh() async throws {
            try await withAuth { world in
                let laptop = try await world.register("ada")
                try await world.database.client.query("UPDATE auth.devices SET last_seen_at = now() - interval '1 day'")
                let next = try await world.auth.refresh(
                    .with { $0.refreshToken = laptop.refreshToken }, metadata: [Peer.metadataKey: "203.0.113.9"])
                let device = try await world.auth.listDevices(.init(), metadata: .bearer(next.accessToken)).devices[0]
                #expect(device.address == "203.0.113.9")
                #expect(device.lastSeenAt.date.timeIntervalSinceNow > -60)
            }
        }

        @Test func rename__is_for_ones_own_devices_only() async throws {
            try await withAuth { world in
                let (ada, bob) = (try await world.register("ada"), try await world.register("bob"))
                let renamed = try await world.auth.renameDevice(
                    .with { ($0.deviceID, $0.name) = (ada.deviceID, "Büro") }, metadata: .bearer(ada.accessToken))
                #expect(renamed.name == "Büro")
                for device in [bob.deviceID, 0, -1, Int64.max] {
                    let error = await status {
                        _ = try await world.auth.renameDevice(
                            .with { ($0.deviceID, $0.name) = (device, "x") }, metadata: .bearer(ada.accessToken))
                    }
                    #expect(error?.code == .notFound)
                    #expect(error?.message == "no such device")
                }
                for name in ["", " ", "a\0", String(repeating: "n", count: 65)] {
                    let error = await status {
                        _ = try await world.auth.renameDevice(
                            .with { ($0.deviceID, $0.name) = (ada.deviceID, name) }, metadata: .bearer(ada.accessToken))
                    }
                    #expect(error?.code == .invalidArgument)
                    #expect(error?.field == "name")
                }
            }
        }

        @Test func revoke__ends_that_device_and_tells_the_log_once() async throws {
            try await withAuth { world in
                let laptop = try await world.register("ada")
                let phone = try await world.logIn("ada")
                _ = try await world.verify(phone.accessToken)
                let request = Ringway_V1_RevokeDeviceRequest.with { $0.deviceID = phone.deviceID }
                _ = try await world.auth.revokeDevice(request, metadata: .bearer(laptop.accessToken))
                #expect(await isRefused(phone.accessToken, world))
                #expect(await status { _ = try await world.refresh(phone.refreshToken) }?.code == .unauthenticated)
                let again = await status {
                    _ = try await world.auth.revokeDevice(request, metadata: .bearer(laptop.accessToken))
                }
                #expect(again?.code == .notFound)
                let changes = try await world.changes(of: laptop.userID)
                #expect(changes.map(\.change) == [.added, .revoked])
                #expect(changes.last?.deviceID == phone.deviceID)
            }
        }

        @Test func device_that_ends_on_another_node__is_refused_as_soon_as_word_comes() async throws {
            var settings = AuthSettings()
            settings.activityMemory = .seconds(3600)
            try await withAuth(settings) { world in
                let laptop = try await world.register("ada")
                let (phone, client) = (try await world.logIn("ada"), world.database.client)
                let handler = world.handler
                let upkeep = Task { await handler.maintain(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) }
                try await eventually {
                    try await world.count(
                        """
                        SELECT count(*) FROM pg_stat_activity
                        WHERE query LIKE 'LISTEN%ringway_devices%' AND datname = current_database()
                        """) == 1
                }
                for token in [laptop, phone] { _ = try await world.verify(token.accessToken) }
                try await client.query("UPDATE auth.devices SET revoked_at = now() WHERE id = \(laptop.deviceID)")
                try await eventually { await isRefused(laptop.accessToken, world) }
                try await client.query("DELETE FROM auth.refresh_tokens WHERE device_id = \(phone.deviceID)")
                try await client.query("DELETE FROM auth.devices WHERE id = \(phone.deviceID)")
                try await eventually { await isRefused(phone.accessToken, world) }
                upkeep.cancel()
                await upkeep.value
            }
        }

        @Test func ended_devices__are_found_whatever_is_remembered_and_a_thousand_at_a_time() async throws {
            try await withAuth { world in
                let ada = try await world.register("ada")
                let phone = try await world.logIn("ada")
                for token in [ada, phone] { _ = try await world.verify(token.accessToken) }
                try await world.database.client.query(
                    "UPDATE auth.devices SET revoked_at = now() WHERE id = \(phone.deviceID)")
                func ended(_ asked: [(Int64, Int64)]) async throws -> [Int64] {
                    try await world.auth.findEndedDevices(
                        .with { request in
                            request.devices = asked.map { one in .with { ($0.userID, $0.deviceID) = one } }
                        }
                    ).ended.map(\.deviceID)
                }
                // Nobody's, and another user's with this number, are no devices.
                let asked = [(ada.userID, ada.deviceID), (ada.userID, phone.deviceID), (7, ada.deviceID), (ada.userID, 8)]
                #expect(try await ended(asked).sorted() == [8, ada.deviceID, phone.deviceID].sorted())
                #expect(try await ended([]).isEmpty)
                let many = (0..<1001).map { (Int64($0), Int64($0)) }
                #expect(try await ended(Array(many.dropLast())).count == 1000)
                #expect(await status { _ = try await ended(many) }?.code == .invalidArgument)
            }
        }

        @Test func revoke__does_not_reach_another_users_device() async throws {
            try await withAuth { world in
                let (ada, bob) = (try await world.register("ada"), try await world.register("bob"))
                let error = await status {
                    _ = try await world.auth.revokeDevice(
                        .with { $0.deviceID = bob.deviceID }, metadata: .bearer(ada.accessToken))
                }
                #expect(error?.code == .notFound)
                _ = try await world.verify(bob.accessToken)
                _ = try await world.refresh(bob.refreshToken)
            }
        }

        @Test func logOutOthers__keeps_the_calling_device_alone() async throws {
            try await withAuth { world in
                let laptop = try await world.register("ada")
                let others = [try await world.logIn("ada"), try await world.logIn("ada")]
                let ended = try await world.auth.logOutOthers(.init(), metadata: .bearer(laptop.accessToken)).ended
                #expect(ended == 2)
                for other in others { #expect(await isRefused(other.accessToken, world)) }
                _ = try await world.verify(laptop.accessToken)
                _ = try await world.refresh(laptop.refreshToken)
                #expect(
                    try await world.changes(of: laptop.userID).map(\.change) == [.added, .added, .revoked, .revoked])
            }
        }

        @Test func log_in__beyond_the_cap_ends_the_device_seen_least_recently() async throws {
            var settings = AuthSettings()
            settings.devicesMax = 3
            try await withAuth(settings) { world in
                let first = try await world.register("ada")
                let second = try await world.logIn("ada")
                let third = try await world.logIn("ada")
                _ = try await world.refresh(first.refreshToken)
                // Active a moment ago, which is no reason to believe it now.
                _ = try await world.verify(second.accessToken)
                _ = try await world.logIn("ada")
                #expect(await isRefused(second.accessToken, world))
                for kept in [first, third] { _ = try await world.verify(kept.accessToken) }
                #expect(
                    try await world.count("SELECT count(*) FROM auth.devices WHERE revoked_at IS NULL") == 3)
            }
        }

        @Test func devices_that_ended_long_ago__are_forgotten_with_their_cursors() async throws {
            try await withAuth { world in
                let old = try await world.register("ada")
                let recent = try await world.logIn("ada")
                let current = try await world.logIn("ada")
                let client = world.database.client
                for device in [old, recent] { try await world.logOut(device.accessToken) }
                // As a refresh leaves it that was under way at the end.
                try await client.query(
                    """
                    INSERT INTO auth.refresh_tokens (digest, user_id, device_id, expires_at)
                    VALUES (sha256('left'), \(old.userID), \(old.deviceID), now() + interval '1 day')
                    """)
                try await client.query(
                    """
                    INSERT INTO inbox.cursors (user_id, device_id, acked_seq)
                    SELECT user_id, id, 1 FROM auth.devices UNION ALL SELECT 1, \(old.deviceID), 1
                    """)
                try await client.query(
                    "UPDATE auth.devices SET revoked_at = now() - interval '2 hours' WHERE id = \(old.deviceID)")
                try await world.handler.maintainOnce()
                try await world.handler.maintainOnce()
                let kept = try await client.query("SELECT id FROM auth.devices ORDER BY id").map { try $0.decode(Int64.self) }
                #expect(kept == [recent.deviceID, current.deviceID])
                #expect(await status { _ = try await world.verify(old.accessToken) }?.code == .unauthenticated)
                _ = try await world.verify(current.accessToken)

                let relay = OutboxRelay(
                    schema: "auth", postgres: client, consumers: [inboxErasure], logger: Logger(label: "test"))
                await relay.deliverAll()
                await relay.deliverAll()
                let cursors = try await client.query("SELECT user_id, device_id FROM inbox.cursors ORDER BY device_id, user_id")
                    .map { try $0.decode(Int64.self, Int64.self) }
                // Another user's, whose device happens to have the same number, too.
                #expect(cursors.map(\.0) == [1, old.userID, old.userID])
                #expect(cursors.map(\.1) == [old.deviceID, recent.deviceID, current.deviceID])
                #expect(try await world.count("SELECT count(*) FROM auth.outbox") == 0)
            }
        }

        @Test func devices_whose_last_token_expired__end_once_and_no_others() async throws {
            try await withAuth { world in
                let lost = try await world.register("ada")
                let refreshed = try await world.logIn("ada")
                let current = try await world.refresh(refreshed.refreshToken)
                let client = world.database.client
                func expire(_ device: Int64, used: Bool, secondsAgo: Double) async throws {
                    try await client.query(
                        """
                        UPDATE auth.refresh_tokens SET expires_at = now() - make_interval(secs => \(secondsAgo))
                        WHERE device_id = \(device) AND (rotated_at IS NOT NULL) = \(used)
                        """)
                }
                // A token that was used may expire, and one that expires just now may be under way.
                try await expire(current.deviceID, used: true, secondsAgo: 86_400)
                try await expire(lost.deviceID, used: false, secondsAgo: 50)
                try await world.handler.maintainOnce()
                #expect(try await world.changes(of: lost.userID).map(\.change) == [.added])

                try await expire(lost.deviceID, used: false, secondsAgo: 61)
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<4 { group.addTask { try? await world.handler.maintainOnce() } }
                }
                try await world.handler.maintainOnce()
                let changes = try await world.changes(of: lost.userID)
                #expect(changes.map(\.change) == [.added, .revoked])
                #expect(changes.last?.deviceID == lost.deviceID)
                #expect(await status { _ = try await world.verify(lost.accessToken) }?.code == .unauthenticated)
                _ = try await world.verify(current.accessToken)
                _ = try await world.refresh(current.refreshToken)
            }
        }

        @Test func devices_whose_last_token_expired__end_although_one_of_them_can_not() async throws {
            try await withAuth { world in
                let (ada, grace) = (try await world.register("ada"), try await world.register("grace"))
                let client = world.database.client
                try await client.query("UPDATE auth.refresh_tokens SET expires_at = now() - interval '2 minutes'")
                // Who has no log can be told nothing, which no change may hide.
                try await client.query("DELETE FROM inbox.heads WHERE user_id = \(ada.userID)")
                // One at a time: what is refused is not looked at again.
                await #expect(throws: PostgresError.self) { try await world.handler.endExpired(limit: 1) }
                #expect(try await world.changes(of: grace.userID).map(\.change) == [.revoked])
                _ = try await world.verify(ada.accessToken)
            }
        }

        @Test func devices_that_ended__are_forgotten_once_by_many_nodes_and_in_bounded_steps() async throws {
            try await withAuth { world in
                let ada = try await world.register("ada")
                let client = world.database.client
                try await client.query(
                    """
                    INSERT INTO auth.devices (user_id, name, platform, revoked_at)
                    SELECT \(ada.userID), 'd', 'linux', now() - interval '2 hours' FROM generate_series(1, 450)
                    """)
                let store = world.handler.store
                #expect(try await store.forgetEnded(limit: 10) == 10)
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<4 { group.addTask { try? await world.handler.maintainOnce() } }
                }
                try await world.handler.maintainOnce()
                #expect(try await store.forgetEnded(limit: 10) == 0)
                let rows = try await client.query("SELECT payload FROM auth.outbox")
                let payloads = try rows.map { try $0.decode(Data.self) }
                let told = payloads.compactMap { DevicesForgotten(payload: Array($0)) }
                #expect(told.flatMap(\.devices).count == 450)
                #expect(Set(told.flatMap(\.devices)).count == 450)
                #expect(told.allSatisfy { $0.devices.count <= 200 && Set($0.users) == [ada.userID] })
                _ = try await world.verify(ada.accessToken)
            }
        }

        @Test func forgotten_devices__are_the_same_behind_their_payload() {
            let some = DevicesForgotten(users: [1, .max, 0], devices: [.min, -1, 251_421_239_678_074_881])
            #expect(DevicesForgotten(payload: some.payload) == some)
            #expect(DevicesForgotten(payload: []) == DevicesForgotten(users: [], devices: []))
            for count in [1, 8, 15, 17] { #expect(DevicesForgotten(payload: [UInt8](repeating: 1, count: count)) == nil) }
        }

        @Test func log_ins_at_once__never_exceed_the_cap() async throws {
            var settings = AuthSettings()
            settings.devicesMax = 2
            try await withAuth(settings) { world in
                _ = try await world.register("ada")
                let results = await together(8) { try await world.logIn("ada") }
                #expect(results.allSatisfy { $0.code == nil })
                #expect(
                    try await world.count("SELECT count(*) FROM auth.devices WHERE revoked_at IS NULL") == 2)
            }
        }
    }

    @Suite struct LimitTests {
        @Test func wrong_passwords__stop_the_guesser_and_not_the_owner_elsewhere() async throws {
            var settings = AuthSettings()
            settings.guessLimit = RateLimit(3, per: .seconds(600))
            try await withAuth(settings) { world in
                _ = try await world.register("ada")
                func logIn(_ name: String, _ password: String, from address: String) async -> RPCError? {
                    await status {
                        _ = try await world.auth.logIn(
                            .with { ($0.username, $0.password, $0.device) = (name, password, .laptop) },
                            metadata: [Peer.metadataKey: "\(address)"])
                    }
                }
                // Right ones do not count, and a name that nobody has is limited like any other.
                for _ in 0..<4 { #expect(await logIn("ada", "correct horse", from: "203.0.113.1") == nil) }
                for name in ["ada", "nobody"] {
                    for _ in 0..<3 { #expect(await logIn(name, "wrong horse", from: "203.0.113.1")?.code == .unauthenticated) }
                    let error = await logIn(name, "correct horse", from: "203.0.113.1")
                    #expect(error?.code == .resourceExhausted)
                    #expect(error?.retryAfterMilliseconds ?? 0 > 1000)
                }
                #expect(await logIn("ada", "correct horse", from: "203.0.113.2") == nil)
            }
        }

        @Test func an_account__has_a_limit_for_all_addresses_together() async throws {
            var settings = AuthSettings()
            settings.accountLimit = RateLimit(4, per: .seconds(600))
            try await withAuth(settings) { world in
                _ = try await world.register("ada")
                var codes: [RPCError.Code?] = []
                for address in 1...6 {
                    codes.append(
                        await status {
                            _ = try await world.auth.logIn(
                                .with { ($0.username, $0.password, $0.device) = ("ada", "wrong horse", .laptop) },
                                metadata: [Peer.metadataKey: "203.0.113.\(address)"])
                        }?.code)
                }
                #expect(codes.prefix(4).allSatisfy { $0 == .unauthenticated })
                #expect(codes.suffix(2).allSatisfy { $0 == .resourceExhausted })
            }
        }

        @Test func a_crowd_at_the_door__does_not_keep_the_owner_from_changing_the_password() async throws {
            var settings = AuthSettings()
            (settings.guessLimit, settings.accountLimit) = (RateLimit(2, per: .seconds(600)), RateLimit(3, per: .seconds(600)))
            try await withAuth(settings) { world in
                let ada = try await world.register("ada")
                let phone = try await world.logIn("ada")
                func change(_ password: String, by token: String, from address: Int) async -> RPCError.Code? {
                    await status {
                        var metadata = Metadata.bearer(token)
                        metadata.addString("203.0.113.\(address)", forKey: Peer.metadataKey)
                        _ = try await world.auth.changePassword(
                            .with { ($0.password, $0.newPassword) = (password, "another horse") }, metadata: metadata)
                    }?.code
                }
                for address in 1...4 {
                    _ = await status {
                        _ = try await world.auth.logIn(
                            .with { ($0.username, $0.password, $0.device) = ("ada", "wrong horse", .laptop) },
                            metadata: [Peer.metadataKey: "203.0.113.\(address)"])
                    }
                }
                #expect(await status { _ = try await world.logIn("ada") }?.code == .resourceExhausted)
                // Who has got hold of a device may not guess on without end, from however many addresses.
                for address in 1...3 {
                    #expect(await change("wrong horse", by: phone.accessToken, from: address) == .permissionDenied)
                }
                #expect(await change("correct horse", by: phone.accessToken, from: 4) == .resourceExhausted)
                #expect(await change("correct horse", by: ada.accessToken, from: 5) == nil)
            }
        }

        @Test func an_address__has_a_limit_and_the_loopback_none() async throws {
            var settings = AuthSettings()
            settings.addressLimit = RateLimit(2, per: .seconds(600))
            try await withAuth(settings) { world in
                func refresh(from address: String) async -> RPCError.Code? {
                    await status {
                        _ = try await world.auth.refresh(
                            .with { $0.refreshToken = RefreshToken().text }, metadata: [Peer.metadataKey: "\(address)"])
                    }?.code
                }
                for _ in 0..<2 { #expect(await refresh(from: "203.0.113.1") == .unauthenticated) }
                #expect(await refresh(from: "203.0.113.1") == .resourceExhausted)
                #expect(await refresh(from: "203.0.113.2") == .unauthenticated)
                for _ in 0..<5 { #expect(await refresh(from: "127.0.0.1") == .unauthenticated) }
            }
        }
    }
}
