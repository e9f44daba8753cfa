// Reading logs, acknowledging them, and the function that services append with.
import Contract
import GRPCCore
import Inbox
import Postgres
import ServiceKit
import TestSupport
import Testing

extension InboxTests {
    @Suite struct LogTests {
        private func fill(_ world: World, _ count: Int) async throws {
            for number in 1...count {
                let event = Ringway_V1_Event.with { $0.message.body.text = "\(number)" }
                try await world.postgres.query(.appendToInbox([world.users[0]: event]))
            }
        }

        @Test func read__pages_through_a_log_in_order() async throws {
            try await withInboxes(2) { world in
                try await fill(world, 10)
                let reader = InboxStore(postgres: world.postgres)
                let user = world.users[0]
                #expect(try await reader.read(user, since: 0, limit: 4).map(\.seq) == [1, 2, 3, 4])
                #expect(try await reader.read(user, since: 8, limit: 4).map(\.seq) == [9, 10])
                #expect(try await reader.read(user, since: 10, limit: 4).isEmpty)
                #expect(try await reader.read(user, since: .max, limit: 4).isEmpty)
                #expect(try await reader.read(world.users[1], since: 0, limit: 4).isEmpty)
                let last = try #require(try await reader.read(user, since: 9, limit: 1).first).decoded()
                #expect(last.seq == 10)
                #expect(last.message.body.text == "10")
                #expect(last.hasAt)
            }
        }

        @Test func read__ends_a_page_with_its_bytes_and_has_one_event_at_least() async throws {
            try await withInboxes(1) { world in
                let user = world.users[0]
                // The second alone is more than a page. The others do not compress, so they lie where Postgres keeps long ones.
                for number in 1...102 {
                    let event = Ringway_V1_Event.with {
                        $0.message.body.text = number == 2 ? String(repeating: "x", count: 256 << 10) : randomText(16_384)
                    }
                    try await world.postgres.query(.appendToInbox([user: event]))
                }
                let reader = InboxStore(postgres: world.postgres)
                var (pages, seqs) = ([Int](), [Int64]())
                while let page = Optional(try await reader.read(user, since: seqs.last ?? 0, limit: 1000)), !page.isEmpty {
                    let bytes = page.reduce(0) { $0 + $1.payload.count }
                    #expect(bytes <= InboxRules.pageBytesMax || page.count == 1)
                    pages.append(page.count)
                    seqs += page.map(\.seq)
                }
                #expect(seqs == Array(1...102))
                #expect(pages == [1, 1, 15, 15, 15, 15, 15, 15, 10])
                #expect(try await reader.read(user, since: 2, limit: 5).map(\.seq) == [3, 4, 5, 6, 7])
            }
        }

        @Test func heads__are_those_of_logs_that_exist() async throws {
            try await withInboxes(2) { world in
                try await fill(world, 3)
                let reader = InboxStore(postgres: world.postgres)
                #expect(try await reader.head(of: world.users[0]) == 3)
                #expect(try await reader.head(of: world.users[1]) == 0)
                #expect(try await reader.head(of: 404) == nil)
                let heads = try await reader.heads(of: world.users + [404])
                #expect(Dictionary(uniqueKeysWithValues: heads) == [world.users[0]: 3, world.users[1]: 0])
                #expect(try await reader.heads(of: []).isEmpty)
            }
        }

        @Test func append_to_an_unknown_log__undoes_the_whole_change() async throws {
            try await withInboxes(1) { world in
                let event = Ringway_V1_Event.with { $0.message.body.text = "x" }
                let error = await #expect(throws: PostgresError.self) {
                    try await world.postgres.query(.appendToInbox([world.users[0]: event, 404: event]))
                }
                #expect(error?.constraint == "inbox_owner_exists")
                let (head, seqs) = try await (world.head(of: world.users[0]), world.seqs(of: world.users[0]))
                #expect(head == 0)
                #expect(seqs.isEmpty)
            }
        }

        @Test func append__notifies_with_user_and_seq() async throws {
            try await withInboxes(1) { world in
                let user = world.users[0]
                var told: [String] = []
                for await notification in world.postgres.listen("ringway_inbox") {
                    switch notification {
                    case .connected: try await fill(world, 3)
                    case .disconnected: Issue.record("the listener's connection was lost")
                    case .notification(let payload): told.append(payload)
                    }
                    if told.count == 3 { break }
                }
                #expect(told == ["\(user):1", "\(user):2", "\(user):3"])
            }
        }

        // MARK: Cursors

        private func cursors(_ world: World) async throws -> [Int64: Int64] {
            let rows = try await world.postgres.query("SELECT device_id, acked_seq FROM inbox.cursors")
            return Dictionary(uniqueKeysWithValues: try rows.map { try $0.decode(Int64.self, Int64.self) })
        }

        @Test func cursor__keeps_the_newest_ack_of_each_device() async throws {
            try await withInboxes(1) { world in
                let store = CursorStore(postgres: world.postgres, logger: .quiet)
                let user = world.users[0]
                await store.flush()
                let none = try await cursors(world)
                #expect(none.isEmpty)
                for seq in [3, 7, 5] as [Int64] { store.acknowledge(user: user, device: 1, seq: seq) }
                store.acknowledge(user: user, device: 2, seq: 1)
                await store.flush()
                #expect(try await cursors(world) == [1: 7, 2: 1])
                store.acknowledge(user: user, device: 1, seq: 6)
                store.acknowledge(user: user, device: 2, seq: 2)
                await store.flush()
                #expect(try await cursors(world) == [1: 7, 2: 2])
            }
        }

        @Test func cursors_of_two_nodes__keep_the_newest() async throws {
            try await withInboxes(1) { world in
                let stores = (0..<2).map { _ in CursorStore(postgres: world.postgres, logger: .quiet) }
                for round in Int64(1)...20 {
                    for device in Int64(1)...50 {
                        stores[0].acknowledge(user: world.users[0], device: device, seq: round)
                        stores[1].acknowledge(user: world.users[0], device: 51 - device, seq: 21 - round)
                    }
                    async let one: Void = stores[0].flush()
                    async let other: Void = stores[1].flush()
                    _ = await (one, other)
                }
                let acked = try await cursors(world)
                #expect(acked.count == 50)
                #expect(acked.values.allSatisfy { $0 == 20 })
            }
        }

        @Test func ack_without_a_database__is_kept_for_later() async throws {
            try await withInboxes(1) { world in
                let store = CursorStore(postgres: world.postgres, logger: .quiet)
                try await world.postgres.query("ALTER TABLE inbox.cursors RENAME TO away")
                store.acknowledge(user: world.users[0], device: 1, seq: 4)
                await store.flush()
                try await world.postgres.query("ALTER TABLE inbox.away RENAME TO cursors")
                await store.flush()
                #expect(try await cursors(world) == [1: 4])
            }
        }

        // MARK: ReadInbox

        @Test func read_inbox__is_the_callers_own_log() async throws {
            try await withInboxes(2) { world in
                try await fill(world, 3)
                let handler = InboxHandler(postgres: world.postgres)
                try await withServer([handler]) { client in
                    let inbox = Ringway_V1_InboxService.Client(wrapping: client)
                    let page = try await inbox.readInbox(.with { $0.limit = 2 }, metadata: .bearer(world.users[0]))
                    #expect(page.events.map(\.seq) == [1, 2])
                    #expect(page.headSeq == 3)
                    let rest = try await inbox.readInbox(.with { $0.since = 2 }, metadata: .bearer(world.users[0]))
                    #expect(rest.events.map(\.message.body.text) == ["3"])
                    let other = try await inbox.readInbox(.init(), metadata: .bearer(world.users[1]))
                    #expect(other.events.isEmpty)
                    #expect(other.hasHeadSeq && other.headSeq == 0)
                }
            }
        }

        @Test func read_inbox__tells_by_the_head_that_a_short_page_is_not_the_last() async throws {
            try await withInboxes(1) { world in
                let user = world.users[0]
                let event = Ringway_V1_Event.with { $0.message.body.text = String(repeating: "\u{1}", count: 75_000) }
                for _ in 0..<5 { try await world.postgres.query(.appendToInbox([user: event])) }
                try await withServer([InboxHandler(postgres: world.postgres)]) { client in
                    let inbox = Ringway_V1_InboxService.Client(wrapping: client)
                    let page = try await inbox.readInbox(.init(), metadata: .bearer(user))
                    #expect(page.events.map(\.seq) == [1, 2, 3])
                    #expect(page.headSeq == 5)
                    let rest = try await inbox.readInbox(.with { $0.since = 3 }, metadata: .bearer(user))
                    #expect(rest.events.map(\.seq) == [4, 5])
                    #expect(rest.headSeq == 5)
                }
            }
        }

        @Test func list_cursors__tells_how_far_a_users_devices_are() async throws {
            try await withInboxes(2) { world in
                let store = CursorStore(postgres: world.postgres, logger: .quiet)
                let (ada, grace) = (world.users[0], world.users[1])
                for (user, device, seq) in [(ada, 8, 3), (ada, 7, 5), (grace, 9, 1)] as [(Int64, Int64, Int64)] {
                    store.acknowledge(user: user, device: device, seq: seq)
                }
                await store.flush()
                let handler = InboxHandler(postgres: world.postgres)
                try await withServer([handler]) { client in
                    let inbox = Ringway_V1_InboxService.Client(wrapping: client)
                    let expected: [(Int64, [[Int64]])] = [
                        (ada, [[7, 5], [8, 3]]), (grace, [[9, 1]]), (0, []), (-1, []), (404, []), (.max, []),
                    ]
                    for (user, cursors) in expected {
                        let found = try await inbox.listCursors(.with { $0.userID = user }).cursors
                        #expect(found.map { [$0.deviceID, $0.ackedSeq] } == cursors)
                    }
                }
            }
        }

        @Test func read_inbox__refuses_what_makes_no_sense() async throws {
            try await withInboxes(1) { world in
                let handler = InboxHandler(postgres: world.postgres)
                try await withServer([handler]) { client in
                    let inbox = Ringway_V1_InboxService.Client(wrapping: client)
                    func code(_ since: Int64, _ limit: Int32, as user: Int64) async -> RPCError.Code? {
                        await status {
                            _ = try await inbox.readInbox(
                                .with {
                                    $0.since = since
                                    $0.limit = limit
                                }, metadata: .bearer(user))
                        }?.code
                    }
                    let user = world.users[0]
                    #expect(await code(-1, 0, as: user) == .invalidArgument)
                    #expect(await code(0, -1, as: user) == .invalidArgument)
                    #expect(await code(0, 1001, as: user) == .invalidArgument)
                    #expect(await code(0, 1000, as: user) == nil)
                    #expect(await code(1, 0, as: user) == .outOfRange)
                    #expect(await code(0, 0, as: 404) == .notFound)
                }
            }
        }
    }
}

private func randomText(_ length: Int) -> String {
    (0..<length / 16).map { _ in String(UInt64.random(in: 1 << 60 ... .max), radix: 16) }.joined()
}
