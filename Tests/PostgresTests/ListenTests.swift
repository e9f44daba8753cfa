// LISTEN: delivery, and the reconnect that tells the consumer that it may have missed something.
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct ListenTests {
    @Test func notifications_arriveInOrder() async throws {
        try await withDatabase { client, _ in
            var events = client.listen("Odd \"name\"").makeAsyncIterator()
            #expect(await events.next() == .connected)
            for number in 0..<20 {
                try await client.query("SELECT pg_notify(\("Odd \"name\""), \("payload \(number)"))")
            }
            for number in 0..<20 { #expect(await events.next() == .notification("payload \(number)")) }
        }
    }

    @Test func lostListener_comesBackAndSaysSo() async throws {
        try await withDatabase { client, _ in
            var events = client.listen("news").makeAsyncIterator()
            #expect(await events.next() == .connected)
            for _ in 0..<3 {
                let killed = try await client.query(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND query LIKE 'LISTEN%'
                    """)
                #expect(killed.count == 1)
                #expect(await events.next() == .disconnected)
                #expect(await events.next() == .connected)
                try await client.query("SELECT pg_notify('news', 'again')")
                #expect(await events.next() == .notification("again"))
            }
        }
    }

    @Test func slowConsumer_losesTheOldestAndIsTold() async throws {
        try await withDatabase { client, _ in
            let stream = client.listen("flood")
            var events = stream.makeAsyncIterator()
            #expect(await events.next() == .connected)
            for _ in 0..<4 {
                try await client.query("SELECT pg_notify('flood', n::text) FROM generate_series(1, 1000) n")
            }
            try await client.query("SELECT pg_notify('flood', 'last')")
            try await Task.sleep(for: .milliseconds(300))
            var seen: [PostgresNotification] = []
            while seen.last != .notification("last"), let event = await events.next() { seen.append(event) }
            #expect(seen.count <= 1024)
            #expect(seen.contains(.connected))
        }
    }

    @Test func listener_endsWhenNobodyListens() async throws {
        try await withDatabase { client, _ in
            let task = Task {
                for await _ in client.listen("news") {}
            }
            func listeners() async throws -> Int {
                try await client.query(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                )[0].decode(Int.self)
            }
            try await eventually { try await listeners() == 1 }
            task.cancel()
            try await eventually { try await listeners() == 0 }
        }
    }
}
