// The outbox on Postgres: nothing lost, nothing doubled, one after the other for a key, whatever fails and however many
// nodes carry it.
import Outbox
import Postgres
import TestSupport
import Testing

private struct Broken: Error {}

@Suite(.serialized) struct RelayTests {
    private func relay(_ database: TestDatabase, _ consumers: OutboxConsumer...) -> OutboxRelay {
        OutboxRelay(schema: "auth", postgres: database.client, consumers: consumers, logger: .quiet)
    }

    /// Notes what it is given in a table, in the transaction that ends the entry.
    private func noting(_ name: String, failing: @escaping @Sendable (OutboxEntry) -> Bool = { _ in false }) -> OutboxConsumer {
        OutboxConsumer(name) { entry, connection in
            try await connection.query(
                "INSERT INTO done (entry, consumer, key) VALUES (\(entry.id), \(name), \(entry.key))")
            if failing(entry) { throw Broken() }
            return .done
        }
    }

    private func withTable(_ body: (TestDatabase) async throws -> Void) async throws {
        try await TestDatabase.with { database in
            try await database.client.query(
                "CREATE TABLE done (place serial, entry bigint, consumer text, key bigint)")
            try await body(database)
        }
    }

    private func append(_ key: Int64, to consumers: [String], _ database: TestDatabase) async throws {
        try await database.client.query(.appendToOutbox("auth", topic: "test", key: key, to: consumers))
    }

    private func done(_ database: TestDatabase) async throws -> [(consumer: String, key: Int64)] {
        try await database.client.query("SELECT consumer, key FROM done ORDER BY place").map {
            let (consumer, key) = try $0.decode(String.self, Int64.self)
            return (consumer, key)
        }
    }

    private func waiting(_ database: TestDatabase) async throws -> Int {
        try await database.client.query("SELECT count(*) FROM auth.outbox")[0].decode(Int.self)
    }

    @Test func entries__reach_each_consumer_once_in_the_order_given() async throws {
        try await withTable { database in
            let relay = relay(database, noting("a"), noting("b"))
            try await append(1, to: ["b", "a"], database)
            await relay.deliverAll()
            await relay.deliverAll()
            #expect(try await done(database).map(\.consumer) == ["b", "a"])
            #expect(try await waiting(database) == 0)
        }
    }

    @Test func entry__of_a_transaction_that_rolls_back__never_was() async throws {
        try await withTable { database in
            await #expect(throws: Broken.self) {
                try await database.client.transaction { connection in
                    try await connection.query(.appendToOutbox("auth", topic: "test", key: 1, to: ["a"]))
                    throw Broken()
                }
            }
            await relay(database, noting("a")).deliverAll()
            let entries = try await done(database)
            #expect(entries.isEmpty)
        }
    }

    @Test func failure__undoes_the_try_holds_back_its_key_and_no_other() async throws {
        try await withTable { database in
            try await append(1, to: ["a", "b"], database)
            try await append(2, to: ["a"], database)
            await relay(database, noting("a") { $0.key == 1 }, noting("b")).deliverAll()
            #expect(try await done(database).map(\.key) == [2])
            #expect(try await waiting(database) == 2)
            let retry = try await database.client.query(
                "SELECT attempts, next_at > now() FROM auth.outbox ORDER BY id LIMIT 1")[0].decode(Int32.self, Bool.self)
            #expect(retry == (1, true))

            try await database.client.query("UPDATE auth.outbox SET next_at = now()")
            await relay(database, noting("a"), noting("b")).deliverAll()
            #expect(try await done(database).map(\.consumer) == ["a", "a", "b"])
            #expect(try await waiting(database) == 0)
        }
    }

    @Test func steps_of_an_entry__are_kept_each_and_hold_back_its_key_until_the_last() async throws {
        try await withTable { database in
            let stepping = OutboxConsumer("a") { entry, connection in
                let steps = try await connection.query("SELECT count(*) FROM done WHERE consumer = 'a'")[0].decode(Int.self)
                try await connection.query(
                    "INSERT INTO done (entry, consumer, key) VALUES (\(entry.id), 'a', \(entry.key))")
                if steps == 1, entry.attempts == 0 { throw Broken() }
                return steps < 2 ? .unfinished : .done
            }
            try await append(1, to: ["a", "b"], database)
            await relay(database, stepping, noting("b")).deliverAll()
            // The second step has failed; the first stands.
            #expect(try await done(database).map(\.consumer) == ["a"])
            try await database.client.query("UPDATE auth.outbox SET next_at = now()")
            await relay(database, stepping, noting("b")).deliverAll()
            #expect(try await done(database).map(\.consumer) == ["a", "a", "a", "b"])
            #expect(try await waiting(database) == 0)
        }
    }

    @Test func entry_without_a_consumer_here__waits_for_the_node_that_has_it() async throws {
        try await withTable { database in
            try await append(1, to: ["elsewhere"], database)
            await relay(database, noting("a")).deliverAll()
            #expect(try await waiting(database) == 1)
            await relay(database, noting("elsewhere")).deliverAll()
            #expect(try await waiting(database) == 0)
        }
    }

    @Test func many_relays_at_once__do_everything_once_and_each_key_in_order() async throws {
        try await withTable { database in
            for round in 0..<5 {
                for key in 0..<8 {
                    try await append(Int64(key), to: round % 2 == 0 ? ["a", "b"] : ["b"], database)
                }
            }
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<6 {
                    group.addTask { [self] in
                        // One that passes over what others hold ends early; the test goes on until all is done.
                        for _ in 0..<200 {
                            await relay(database, noting("a"), noting("b")).deliverAll()
                            if (try? await waiting(database)) == 0 { break }
                        }
                    }
                }
            }
            #expect(try await waiting(database) == 0)
            let rows = try await database.client.query("SELECT key, entry FROM done ORDER BY place")
            let entries = try rows.map { try $0.decode(Int64.self, Int64.self) }
            #expect(entries.count == 64)
            #expect(Set(entries.map(\.1)).count == 64)
            for key in 0..<Int64(8) {
                let ids = entries.filter { $0.0 == key }.map(\.1)
                #expect(ids == ids.sorted())
            }
        }
    }

    @Test func run__is_woken_by_the_commit() async throws {
        try await withTable { database in
            let relay = relay(database, noting("a"))
            let running = Task { await relay.run() }
            try await Task.sleep(for: .milliseconds(300))
            let start = ContinuousClock.now
            try await append(1, to: ["a"], database)
            while try await waiting(database) > 0, ContinuousClock.now - start < .seconds(4) {
                try await Task.sleep(for: .milliseconds(5))
            }
            // The poll alone would take up to five seconds.
            #expect(ContinuousClock.now - start < .seconds(2))
            running.cancel()
            await running.value
        }
    }

    @Test func metrics__tell_what_waits_and_for_how_long() async throws {
        try await withTable { database in
            let relay = relay(database, noting("a"), noting("b"))
            try await append(1, to: ["a"], database)
            try await database.client.query("UPDATE auth.outbox SET created_at = now() - interval '90 seconds'")
            let lag = try await relay.lag()
            #expect(lag.map(\.waiting) == [1])
            #expect(90...120 ~= lag[0].oldestSeconds)
            let text = await relay.metrics()
            #expect(text.contains(#"ringway_outbox_waiting{schema="auth",consumer="a"} 1"#))
            #expect(text.contains(#"ringway_outbox_waiting{schema="auth",consumer="b"} 0"#))
        }
    }
}
