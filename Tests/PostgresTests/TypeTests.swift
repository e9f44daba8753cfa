// Every type, there and back through the server, with its extremes and NULL.
import Foundation
import Postgres
import Testing

@Suite struct TypeTests {
    private func expectRoundTrip<Value: PostgresEncodable & PostgresDecodable & Equatable>(
        _ values: [Value], _ client: PostgresClient
    ) async throws {
        for value in values {
            let rows = try await client.query("SELECT \(value), \(nil as Value?)")
            let (back, null) = try rows[0].decode(Value.self, Value?.self)
            #expect(back == value)
            #expect(null == nil)
        }
    }

    @Test func scalars_comeBackAsTheyWere() async throws {
        try await withDatabase { client, _ in
            try await expectRoundTrip([true, false], client)
            try await expectRoundTrip([0, 1, -1, .min, .max] as [Int16], client)
            try await expectRoundTrip([0, 1, -1, .min, .max] as [Int32], client)
            try await expectRoundTrip([0, 1, -1, .min, .max] as [Int64], client)
            try await expectRoundTrip([0, 1, -1, .min, .max] as [Int], client)
            try await expectRoundTrip(
                [0, -0.0, 1.5, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .infinity, -.infinity, .pi], client)
            try await expectRoundTrip(["", "a", "Grüße, 世界 👩‍👩‍👧", "'; DROP TABLE x; --", "\u{1}\u{10FFFF}"], client)
            try await expectRoundTrip([[], [0], Array(0...255)] as [[UInt8]], client)
            try await expectRoundTrip([Data(), Data([0, 255])], client)
            try await expectRoundTrip([UUID(), UUID(uuidString: "00000000-0000-0000-0000-000000000000")!], client)
            let nan = try await client.value("SELECT \(Double.nan)", as: Double.self)
            #expect(nan.isNaN)
        }
    }

    @Test func arrays_comeBackAsTheyWere() async throws {
        try await withDatabase { client, _ in
            try await expectRoundTrip([[], [1], [.min, 0, .max]] as [[Int16]], client)
            try await expectRoundTrip([[], [1], [.min, 0, .max]] as [[Int32]], client)
            try await expectRoundTrip([[], [1], [.min, 0, .max]] as [[Int64]], client)
            try await expectRoundTrip([[], [true, false]] as [[Bool]], client)
            try await expectRoundTrip([[], [0.5]] as [[Double]], client)
            try await expectRoundTrip([[], ["", "NULL", "{\"a\",b}"]] as [[String]], client)
            try await expectRoundTrip([[], [[], [0, 1]]] as [[[UInt8]]], client)
            try await expectRoundTrip([[], [UUID()]] as [[UUID]], client)
            try await expectRoundTrip([[Date(timeIntervalSinceReferenceDate: 0)]] as [[Date]], client)
            try await expectRoundTrip([[], [nil], [1, nil, .max]] as [[Int64?]], client)
            try await expectRoundTrip([[], [nil, "", "x"]] as [[String?]], client)
            try await expectRoundTrip([[], [nil, [], [7]]] as [[[UInt8]?]], client)
        }
    }

    @Test func dates_keepTheirMicroseconds() async throws {
        try await withDatabase { client, _ in
            for microseconds in [0, 1, -1, 999_999, 812_345_678_901_234] as [Int] {
                let date = Date(timeIntervalSinceReferenceDate: Double(microseconds) / 1_000_000)
                let rows = try await client.query(
                    """
                    SELECT \(date), '2001-01-01 00:00:00Z'::timestamptz + \(microseconds) * interval '1 microsecond'
                        = \(date)
                    """)
                let (back, isEqual) = try rows[0].decode(Date.self, Bool.self)
                #expect(back == date)
                #expect(isEqual)
            }
            let rows = try await client.query("SELECT 'infinity'::timestamptz, '-infinity'::timestamptz")
            let (future, past) = try rows[0].decode(Date.self, Date.self)
            #expect(future == .distantFuture && past == .distantPast)
        }
    }

    @Test func dates_beyondPostgresAreRefused() async throws {
        try await withDatabase { client, _ in
            for seconds in [1e300, -1e300, .infinity, .nan, -300_000_000_000] {
                let date = Date(timeIntervalSinceReferenceDate: seconds)
                let error = await postgresError { try await client.query("SELECT \(date)") }
                #expect(error?.code == .invalidParameter)
            }
        }
    }

    @Test func integers_widenAndNarrowIfTheyFit() async throws {
        try await withDatabase { client, _ in
            let row = try await client.query("SELECT 7::int2, 7::int4, 7::int8")[0]
            let (a, b, c) = try row.decode(Int64.self, Int64.self, Int.self)
            #expect(a == 7 && b == 7 && c == 7)
            let (d, e, f) = try row.decode(Int16.self, Int16.self, Int16.self)
            #expect(d == 7 && e == 7 && f == 7)
            let error = await postgresError {
                _ = try await client.value("SELECT 70000 AS large", as: Int16.self)
            }
            #expect(error?.code == .decoding)
            #expect(error?.column == "large")
        }
    }

    @Test func text_comesFromEveryTextualType() async throws {
        try await withDatabase { client, _ in
            try await execute("CREATE TYPE mood AS ENUM ('glad', 'sad')", client)
            let row = try await client.query(
                "SELECT 'a'::varchar, 'b'::char(1), 'c'::name, '{\"d\": 1}'::jsonb, '{}'::json, \("sad")::mood")[0]
            let (a, b, c, d, e, f) = try row.decode(
                String.self, String.self, String.self, String.self, String.self, String.self)
            #expect([a, b, c, d, e, f] == ["a", "b", "c", "{\"d\": 1}", "{}", "sad"])
        }
    }

    @Test func decode_namesTheColumnThatDoesNotFit() async throws {
        try await withDatabase { client, _ in
            let rows = try await client.query(
                "SELECT 1::int8 AS id, NULL::text AS name, '{{1,2},{3,4}}'::int8[] AS grid")
            let row = rows[0]
            func column(_ body: () throws -> Void) -> String? {
                do {
                    try body()
                    return nil
                } catch {
                    #expect((error as? PostgresError)?.code == .decoding)
                    return (error as? PostgresError)?.column ?? "none"
                }
            }
            #expect(column { _ = try row[0, as: String.self] } == "id")
            #expect(column { _ = try row[0, as: [Int64].self] } == "id")
            #expect(column { _ = try row[1, as: String.self] } == "name")
            #expect(column { _ = try row["name", as: String.self] } == "name")
            #expect(column { _ = try row[2, as: [Int64].self] } == "grid")
            #expect(column { _ = try row[3, as: Int.self] } == "none")
            #expect(column { _ = try row[-1, as: Int.self] } == "none")
            #expect(column { _ = try row["missing", as: Int.self] } == "none")
            #expect(column { _ = try row.decode(Int64.self) } == "none")
            #expect(try row["id", as: Int64.self] == 1)
            #expect(try row["name", as: String?.self] == nil)
        }
    }

    @Test func nul_isRefusedBeforeAnythingIsSent() async throws {
        try await withDatabase { client, _ in
            let single = await postgresError { try await client.query("SELECT \("a\0b")") }
            #expect(single?.code == .invalidParameter)
            let array = await postgresError { try await client.query("SELECT \(["x", "\0"])") }
            #expect(array?.code == .invalidParameter)
            let script = await postgresError { try await execute("SELECT 1; \0", client) }
            #expect(script?.code == .invalidParameter)
        }
    }

    @Test func largeStrings_travelBothWays() async throws {
        try await withDatabase { client, _ in
            let text = String(repeating: "Ringway é ", count: 100_000)
            let rows = try await client.query("SELECT \(text), octet_length(\(text))")
            let (back, size) = try rows[0].decode(String.self, Int.self)
            #expect(back == text)
            #expect(size == text.utf8.count)
        }
    }

    @Test func unnest_takesAThousandRows() async throws {
        try await withDatabase { client, _ in
            try await execute("CREATE TABLE t (id int8 PRIMARY KEY, body bytea, note text, at timestamptz)", client)
            let ids = Array(1...1000 as ClosedRange<Int64>)
            let bodies = ids.map { [UInt8](repeating: UInt8($0 % 256), count: Int($0 % 300)) }
            let notes = ids.map { $0 % 3 == 0 ? nil : "note \($0)" }
            let dates = ids.map { Date(timeIntervalSinceReferenceDate: Double($0)) }
            let inserted = try await client.query(
                """
                INSERT INTO t (id, body, note, at)
                SELECT * FROM unnest(\(ids), \(bodies), \(notes), \(dates))
                """)
            #expect(inserted.affectedRows == 1000)
            let rows = try await client.query("SELECT id, body, note, at FROM t ORDER BY id")
            #expect(rows.count == 1000)
            for (index, row) in rows.enumerated() {
                let (id, body, note, date) = try row.decode(Int64.self, [UInt8].self, String?.self, Date.self)
                #expect(id == ids[index] && body == bodies[index] && note == notes[index] && date == dates[index])
            }
        }
    }
}
