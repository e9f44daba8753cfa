// Several nodes at once: two writers on one database, and services that append in transactions of their own.
import Contract
import Inbox
import Postgres
import ServiceKit
import TestSupport
import Testing

extension InboxTests {
    @Suite struct RaceTests {
        @Test func two_writers_and_services_at_once__leave_logs_without_gaps() async throws {
            try await withInboxes(20) { world in
                let (messages, changes) = (1000, 200)
                // Small batches, so that the writers meet often.
                try await world.withWriter(batchMax: 20) { one in
                    try await world.withWriter(batchMax: 20) { other in
                        try await withThrowingTaskGroup { group in
                            for number in 0..<messages {
                                let (from, to) = pair(number, of: world.users)
                                let sent = try message("\(number)", from: from, to: to, id: "m\(number)")
                                let writer = number % 2 == 0 ? one : other
                                group.addTask { _ = try await writer.append(sent).get() }
                            }
                            for number in 0..<changes {
                                let (first, second) = pair(number, of: world.users)
                                group.addTask {
                                    let event = Ringway_V1_Event.with { $0.message.body.text = "change \(number)" }
                                    try await world.postgres.query(.appendToInbox([first: event, second: event]))
                                }
                            }
                            try await group.waitForAll()
                        }
                    }
                }
                var seen: [String: Int] = [:]
                for user in world.users {
                    let texts = try await world.texts(of: user)
                    let head = try #require(try await world.head(of: user))
                    #expect(texts.keys.sorted() == Array(1...head))
                    for text in texts.values { seen[text, default: 0] += 1 }
                }
                #expect(seen.count == messages + changes)
                // Once in each of the two logs.
                #expect(seen.values.allSatisfy { $0 == 2 })
            }
        }

        @Test func the_same_retry_on_two_nodes__is_appended_once() async throws {
            try await withInboxes(2) { world in
                let (ada, grace) = (world.users[0], world.users[1])
                try await world.withWriter { one in
                    try await world.withWriter { other in
                        for number in 0..<100 {
                            let sent = try message("\(number)", from: ada, to: grace, id: "m\(number)")
                            async let here = one.append(sent)
                            async let there = other.append(sent)
                            let (first, second) = try await (here.get(), there.get())
                            #expect(first.senderSeq == second.senderSeq)
                            #expect(first.at == second.at)
                            // One of them appended it.
                            #expect((first.recipientSeq == nil) != (second.recipientSeq == nil))
                        }
                    }
                }
                #expect(try await world.seqs(of: ada) == Array(1...100))
                #expect(try await world.seqs(of: grace) == Array(1...100))
            }
        }

        @Test func reader_beside_a_writer__never_sees_a_gap() async throws {
            try await withInboxes(2) { world in
                let (ada, grace) = (world.users[0], world.users[1])
                let reader = InboxStore(postgres: world.postgres)
                try await world.withWriter { writer in
                    let writing = Task {
                        for number in 0..<200 {
                            let sent = try message("\(number)", from: ada, to: grace, id: "m\(number)")
                            _ = try await writer.append(sent).get()
                        }
                    }
                    var since: Int64 = 0
                    while since < 200 {
                        let events = try await reader.read(grace, since: since, limit: 50)
                        try #require(events.map(\.seq) == Array((since + 1)..<(since + 1 + Int64(events.count))))
                        since += Int64(events.count)
                    }
                    try await writing.value
                }
            }
        }
    }
}

/// Two different users, so that over the numbers each meets each in both directions.
private func pair(_ number: Int, of users: [Int64]) -> (Int64, Int64) {
    let first = number % users.count
    let distance = 1 + number / users.count % (users.count - 1)
    return (users[first], users[(first + distance) % users.count])
}
