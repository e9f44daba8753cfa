// An account's password, e-mail address, export and end.
import Contract
import Foundation
import Friendship
import GRPCCore
import Inbox
import Outbox
import Profile
import ServiceKit
import TestSupport
import Testing

@testable import Auth

extension AuthServiceTests {
    @Suite struct LifeTests {
        private func delete(_ token: String, _ password: String, _ world: World) async throws
            -> Ringway_V1_DeleteAccountResponse {
            try await world.auth.deleteAccount(.with { $0.password = password }, metadata: .bearer(token))
        }

        private func relay(_ world: World) -> OutboxRelay {
            OutboxRelay(
                schema: "auth", postgres: world.database.client,
                consumers: [friendshipErasure, profileErasure, inboxErasure], logger: .quiet)
        }

        private func rows(_ user: Int64, _ world: World) async throws -> Int {
            try await world.count(
                """
                SELECT (SELECT count(*) FROM auth.accounts WHERE id = \(user))
                     + (SELECT count(*) FROM auth.devices WHERE user_id = \(user))
                     + (SELECT count(*) FROM auth.refresh_tokens WHERE user_id = \(user))
                     + (SELECT count(*) FROM profile.profiles WHERE user_id = \(user))
                     + (SELECT count(*) FROM friendship.friends WHERE \(user) IN (user_id, friend_id))
                     + (SELECT count(*) FROM friendship.requests WHERE \(user) IN (sender, recipient))
                     + (SELECT count(*) FROM inbox.events WHERE user_id = \(user))
                     + (SELECT count(*) FROM inbox.heads WHERE user_id = \(user))
                """)
        }

        @Test func changePassword__ends_the_other_devices_and_the_old_password() async throws {
            try await withAuth { world in
                let laptop = try await world.register("ada")
                let phone = try await world.logIn("ada")
                let change = Ringway_V1_ChangePasswordRequest.with {
                    ($0.password, $0.newPassword) = ("correct horse", "battery staple")
                }
                _ = try await world.auth.changePassword(change, metadata: .bearer(laptop.accessToken))
                #expect(await status { _ = try await world.verify(phone.accessToken) }?.code == .unauthenticated)
                _ = try await world.verify(laptop.accessToken)
                #expect(await status { _ = try await world.logIn("ada") }?.code == .unauthenticated)
                _ = try await world.logIn("ada", "battery staple")
                let again = await status {
                    _ = try await world.auth.changePassword(change, metadata: .bearer(laptop.accessToken))
                }
                #expect(again?.code == .permissionDenied)
                #expect(again?.field == "password")
            }
        }

        @Test func changePassword__refuses_what_registering_refuses() async throws {
            try await withAuth { world in
                let laptop = try await world.register("ada_lovelace")
                for text in ["", "short", "password1", "Ada_Lovelace", String(repeating: "x", count: 257)] {
                    let error = await status {
                        _ = try await world.auth.changePassword(
                            .with { ($0.password, $0.newPassword) = ("correct horse", text) },
                            metadata: .bearer(laptop.accessToken))
                    }
                    #expect(error?.code == .invalidArgument)
                    #expect(error?.field == "new_password")
                }
                _ = try await world.logIn("ada_lovelace")
            }
        }

        @Test func log_in__hashes_again_when_the_cost_has_risen() async throws {
            try await withAuth { world in
                _ = try await world.register("ada")
                let old = try await world.database.client.query("SELECT password_hash FROM auth.accounts")[0]
                    .decode(String.self)
                var settings = AuthSettings()
                settings.hashCost.passes = 3
                let raised = try await AuthHandler.start(
                    postgres: world.database.client, settings: settings, peers: .none)
                try await withServer([raised]) { client in
                    let later = World(auth: .init(wrapping: client), handler: raised, database: world.database)
                    #expect(await status { _ = try await later.logIn("ada", "wrong horse") } != nil)
                    _ = try await later.logIn("ada")
                }
                let new = try await world.database.client.query("SELECT password_hash FROM auth.accounts")[0]
                    .decode(String.self)
                #expect(old.contains("t=2,"))
                #expect(new.contains("t=3,"))
                // A node that still has the old cost takes it, and leaves it.
                _ = try await world.logIn("ada")
                let kept = try await world.database.client.query("SELECT password_hash FROM auth.accounts")[0]
                    .decode(String.self)
                #expect(kept == new)
            }
        }

        @Test func wrong_password__is_the_work_that_nobody_is_also_when_the_cost_has_risen() async throws {
            try await withAuth { world in
                let ada = try await world.register("ada")
                var settings = AuthSettings()
                settings.hashCost.passes = 3
                let raised = try await AuthHandler.start(
                    postgres: world.database.client, settings: settings, peers: .none)
                try await withServer(
                    [raised], verify: { _ in Caller(userID: ada.userID, deviceID: ada.deviceID) }
                ) { client in
                    let later = World(auth: .init(wrapping: client), handler: raised, database: world.database)
                    func work(_ call: () async throws -> Void) async -> Int64 {
                        let before = raised.hasher.comparing
                        #expect(await status(call) != nil)
                        return Int64(raised.hasher.comparing - before)
                    }
                    let nobody = await work { _ = try await later.logIn("nobody") }
                    #expect(nobody == 3 * 19 * 1024)
                    let me = Metadata.bearer(ada.accessToken)
                    let wrong: [() async throws -> Void] = [
                        { _ = try await later.logIn("ada", "wrong horse") },
                        {
                            _ = try await later.auth.changePassword(
                                .with { ($0.password, $0.newPassword) = ("wrong horse", "battery staple") }, metadata: me)
                        },
                        { _ = try await later.auth.changeEmail(.with { $0.password = "wrong horse" }, metadata: me) },
                        { _ = try await later.auth.deleteAccount(.with { $0.password = "wrong horse" }, metadata: me) },
                    ]
                    for call in wrong {
                        let left = await nobody - work(call)
                        #expect(0..<3 ~= left)
                    }
                }
            }
        }

        @Test func names_that_look_alike__are_one_name() async throws {
            try await withAuth { world in
                _ = try await world.register("paypal")
                for name in ["paypa1", "PAYPAL", "\u{ff50}aypal"] {
                    let error = await status { _ = try await world.register(name) }
                    #expect(error?.code == .alreadyExists)
                    #expect(error?.field == "username")
                }
                _ = try await world.register("modern-10")
                #expect(await status { _ = try await world.register("modem-lo") }?.code == .alreadyExists)
                _ = try await world.register("paypall")
            }
        }

        @Test func email__is_unique_and_told_to_its_owner_only() async throws {
            try await withAuth { world in
                func register(_ name: String, _ email: String) async throws -> Ringway_V1_TokenResponse {
                    try await world.auth.register(
                        .with {
                            ($0.username, $0.password, $0.device) = (name, "correct horse", .laptop)
                            $0.email = email
                        })
                }
                let ada = try await register("ada", "Ada@Example.org")
                let taken = await status { _ = try await register("bob", "ada@example.ORG") }
                #expect(taken?.code == .alreadyExists)
                #expect(taken?.field == "email")
                let invalid = await status { _ = try await register("bob", "ada@@example.org") }
                #expect(invalid?.field == "email")

                let account = try await world.auth.getAccount(.init(), metadata: .bearer(ada.accessToken))
                #expect((account.username, account.email) == ("ada", "ada@example.org"))
                func change(_ password: String, _ email: String) async throws -> Ringway_V1_Account {
                    try await world.auth.changeEmail(
                        .with { ($0.password, $0.email) = (password, email) }, metadata: .bearer(ada.accessToken))
                }
                #expect(await status { _ = try await change("wrong horse", "") }?.code == .permissionDenied)
                #expect(try await change("correct horse", "").email == "")
                _ = try await register("bob", "ada@example.org")
                #expect(await status { _ = try await change("correct horse", "ada@example.org") }?.code == .alreadyExists)
            }
        }

        @Test func deletion__ends_the_devices_at_once_and_a_log_in_takes_it_back() async throws {
            try await withAuth { world in
                let ada = try await world.register("ada")
                #expect(await status { _ = try await delete(ada.accessToken, "wrong horse", world) }?.code == .permissionDenied)
                let end = try await delete(ada.accessToken, "correct horse", world).deleteAfter.date
                #expect(abs(end.timeIntervalSinceNow - 14 * 86_400) < 60)
                #expect(await status { _ = try await world.verify(ada.accessToken) }?.code == .unauthenticated)
                try await world.handler.maintainOnce()
                _ = try await world.logIn("ada")
                try await world.database.client.query("UPDATE auth.accounts SET delete_after = delete_after - interval '30 days'")
                try await world.handler.maintainOnce()
                #expect(try await world.count("SELECT count(*) FROM auth.accounts") == 1)
            }
        }

        @Test func deletion__whose_time_has_come_is_not_taken_back() async throws {
            var settings = AuthSettings()
            settings.deletionGrace = .zero
            try await withAuth(settings) { world in
                let ada = try await world.register("ada")
                _ = try await delete(ada.accessToken, "correct horse", world)
                // Nobody has looked for accounts to end yet.
                let error = await status { _ = try await world.logIn("ada") }
                #expect(error?.code == .unauthenticated)
                #expect(error?.message == "unknown user or wrong password")
                try await world.handler.maintainOnce()
                #expect(try await world.count("SELECT count(*) FROM auth.accounts") == 0)
            }
        }

        @Test func deletion__after_the_grace_leaves_nothing_and_tells_the_friends() async throws {
            var settings = AuthSettings()
            settings.deletionGrace = .zero
            try await withAuth(settings) { world in
                let (ada, bob) = (try await world.register("ada"), try await world.register("bob"))
                try await world.database.client.query(
                    """
                    INSERT INTO friendship.friends (user_id, friend_id)
                    VALUES (\(ada.userID), \(bob.userID)), (\(bob.userID), \(ada.userID))
                    """)
                try await world.database.client.query(
                    "INSERT INTO friendship.requests (sender, recipient, message) VALUES (\(ada.userID), 5, 'hi')")
                try await world.database.client.query(
                    "INSERT INTO friendship.owners (user_id, friends, received) VALUES (5, 0, 1), (\(bob.userID), 1, 0)")
                _ = try await world.logIn("ada")
                _ = try await delete(ada.accessToken, "correct horse", world)
                try await world.handler.maintainOnce()
                #expect(try await world.count("SELECT count(*) FROM auth.outbox") == 3)
                await relay(world).deliverAll()
                await relay(world).deliverAll()
                #expect(try await world.count("SELECT count(*) FROM auth.outbox") == 0)
                #expect(try await rows(ada.userID, world) == 0)
                let told = try await world.database.events(of: bob.userID)
                #expect(told.map(\.friend.change) == [.removed])
                #expect(told.map(\.friend.userID) == [ada.userID])
                #expect(try await world.count("SELECT sum(friends + sent + received)::bigint FROM friendship.owners") == 0)
                #expect(try await world.count("SELECT count(*) FROM friendship.changes") == 2)
                // The name is free again, for another user.
                #expect(try await world.register("ada").userID != ada.userID)
            }
        }

        /// 600 friends, as many who wait for an answer, and 25,000 events.
        private func makePopular(_ user: Int64, _ world: World) async throws {
            let client = world.database.client
            try await client.query("SELECT profile.create(n, 'peer' || n), inbox.open(n) FROM generate_series(1, 1200) AS n")
            try await client.query(
                """
                INSERT INTO friendship.friends (user_id, friend_id)
                SELECT \(user), n FROM generate_series(1, 600) AS n UNION ALL SELECT n, \(user) FROM generate_series(1, 600) AS n
                """)
            try await client.query(
                """
                INSERT INTO friendship.requests (sender, recipient, message)
                SELECT n, \(user), 'hi' FROM generate_series(601, 1200) AS n
                """)
            try await client.query(
                """
                INSERT INTO friendship.owners (user_id, friends, sent)
                SELECT n, (n <= 600)::int, (n > 600)::int FROM generate_series(1, 1200) AS n
                """)
            try await client.query(
                """
                INSERT INTO inbox.events (user_id, seq, at, payload)
                SELECT \(user), n, now(), '' FROM generate_series(10, 25009) AS n
                """)
        }

        /// How many rows each statement deletes is written down.
        private func noteSteps(_ world: World) async throws {
            try await world.database.client.withConnection { connection in
                try await connection.execute(
                    script: """
                        CREATE TABLE steps (name text, gone bigint);
                        CREATE FUNCTION note_step() RETURNS trigger LANGUAGE plpgsql AS $$
                        BEGIN INSERT INTO steps SELECT TG_TABLE_NAME, count(*) FROM gone; RETURN NULL; END $$;
                        """)
                for table in ["friendship.friends", "friendship.requests", "inbox.events"] {
                    try await connection.execute(
                        script: """
                            CREATE TRIGGER step AFTER DELETE ON \(table) REFERENCING OLD TABLE AS gone
                            FOR EACH STATEMENT EXECUTE FUNCTION note_step()
                            """)
                }
            }
        }

        @Test func deletion__of_one_with_very_many_friends_and_events_goes_in_steps() async throws {
            var settings = AuthSettings()
            settings.deletionGrace = .zero
            try await withAuth(settings) { world in
                let ada = try await world.register("ada")
                try await makePopular(ada.userID, world)
                try await noteSteps(world)
                _ = try await delete(ada.accessToken, "correct horse", world)
                try await world.handler.maintainOnce()
                await relay(world).deliverAll()
                #expect(try await world.count("SELECT count(*) FROM auth.outbox") == 0)
                #expect(try await rows(ada.userID, world) == 0)
                #expect(try await world.count("SELECT max(gone) FROM steps WHERE name <> 'events'") <= 500)
                #expect(try await world.count("SELECT max(gone) FROM steps WHERE name = 'events'") <= 10_000)
                #expect(try await world.count("SELECT sum(gone)::bigint FROM steps") >= 3 * 600 + 25_000)
                // Each friend is told once, and nobody counts the user any more.
                #expect(try await world.count("SELECT count(*) FROM inbox.events WHERE user_id BETWEEN 1 AND 600") == 600)
                #expect(try await world.count("SELECT sum(friends + sent + received)::bigint FROM friendship.owners") == 0)
                #expect(try await world.count("SELECT count(*) FROM friendship.changes") == 1200)
            }
        }

        @Test func deletion__by_many_nodes_at_once_happens_once() async throws {
            var settings = AuthSettings()
            settings.deletionGrace = .zero
            try await withAuth(settings) { world in
                for index in 0..<6 {
                    let user = try await world.register("user-x\(index)")
                    _ = try await delete(user.accessToken, "correct horse", world)
                }
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<4 { group.addTask { try? await world.handler.maintainOnce() } }
                }
                try await world.handler.maintainOnce()
                #expect(try await world.count("SELECT count(*) FROM auth.outbox") == 18)
                #expect(try await world.count("SELECT count(*) FROM auth.accounts") == 0)
            }
        }

        @Test func export__holds_the_account_and_what_the_peers_say_page_by_page() async throws {
            try await withAuth { world in
                let ada = try await world.register("ada")
                func page(_ since: Int64) async throws -> Ringway_V1_ExportDataResponse {
                    try await world.auth.exportData(.with { $0.since = since }, metadata: .bearer(ada.accessToken))
                }
                let first = try await page(0)
                #expect(first.account.username == "ada")
                #expect(first.devices.map(\.id) == [ada.deviceID])
                #expect(first.profile.userID == ada.userID)
                #expect(first.nextSince == 0)
                #expect(try await !page(1).hasAccount)
                #expect(await status { _ = try await page(-1) }?.field == "since")
            }
        }

        @Test func account_calls__need_a_token() async throws {
            try await withAuth { world in
                let auth = world.auth
                let calls: [() async throws -> Void] = [
                    { _ = try await auth.listDevices(.init()) }, { _ = try await auth.logOutOthers(.init()) },
                    { _ = try await auth.renameDevice(.init()) }, { _ = try await auth.revokeDevice(.init()) },
                    { _ = try await auth.changePassword(.init()) }, { _ = try await auth.changeEmail(.init()) },
                    { _ = try await auth.getAccount(.init()) }, { _ = try await auth.deleteAccount(.init()) },
                    { _ = try await auth.exportData(.init()) },
                ]
                for call in calls { #expect(await status(call)?.code == .unauthenticated) }
            }
        }
    }
}
