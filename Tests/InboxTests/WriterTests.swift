// What the writer's one statement does to the logs, on a real server.
import Inbox
import Postgres
import Synchronization
import TestSupport
import Testing

extension InboxTests {
    @Suite struct WriterTests {
        @Test func messages__stand_in_both_logs_without_a_gap() async throws {
            try await withInboxes(2) { world in
                let (ada, grace) = (world.users[0], world.users[1])
                try await world.withWriter { writer in
                    for number in Int64(1)...5 {
                        let sent = try message("\(number)", from: ada, to: grace, id: "m\(number)")
                        let appended = try await writer.append(sent).get()
                        #expect(appended.senderSeq == number)
                        #expect(appended.recipientSeq == number)
                    }
                    let answer = try await writer.append(message("back", from: grace, to: ada, id: "m1")).get()
                    #expect(answer.senderSeq == 6)
                    #expect(answer.recipientSeq == 6)
                }
                let texts: [Int64: String] = [1: "1", 2: "2", 3: "3", 4: "4", 5: "5", 6: "back"]
                #expect(try await world.texts(of: ada) == texts)
                #expect(try await world.texts(of: grace) == texts)
                #expect(try await world.head(of: ada) == 6)
            }
        }

        @Test func one_batch__keeps_the_order_of_the_offers() async throws {
            try await withInboxes(3) { world in
                let order = Mutex<[String]>([])
                // Offered before the writer runs, so that all of it is one batch.
                let writer = InboxWriter(postgres: world.postgres, logger: .quiet)
                for number in 0..<300 {
                    let (from, to) = (world.users[number % 3], world.users[(number + 1) % 3])
                    let id = "m\(number)"
                    let accepted = writer.offer(try message(id, from: from, to: to, id: id)) { _ in
                        order.withLock { $0.append(id) }
                    }
                    #expect(accepted)
                }
                #expect(writer.waiting == 300)
                writer.finish()
                await writer.run()
                #expect(order.withLock { $0 } == (0..<300).map { "m\($0)" })
                for user in world.users {
                    let texts = try await world.texts(of: user)
                    #expect(texts.keys.sorted() == Array(1...200))
                    let numbers = texts.sorted { $0.key < $1.key }.compactMap { Int($0.value.dropFirst()) }
                    #expect(numbers == numbers.sorted())
                }
            }
        }

        @Test func retry__is_answered_as_before_and_appends_nothing() async throws {
            try await withInboxes(3) { world in
                let (ada, grace, mary) = (world.users[0], world.users[1], world.users[2])
                try await world.withWriter { writer in
                    let first = try await writer.append(message("hi", from: ada, to: grace, id: "m1")).get()
                    _ = try await writer.append(message("between", from: ada, to: grace, id: "m2")).get()
                    // Whatever else the retry says: its id decides.
                    for recipient in [grace, mary] {
                        let retry = try await writer.append(message("other", from: ada, to: recipient, id: "m1")).get()
                        #expect(retry.senderSeq == first.senderSeq)
                        #expect(retry.at == first.at)
                        #expect(retry.recipientSeq == nil)
                    }
                    let otherDevice = try await writer.append(
                        message("hi", from: ada, to: grace, id: "m1", device: 99)).get()
                    #expect(otherDevice.senderSeq == 3)
                }
                #expect(try await world.texts(of: ada) == [1: "hi", 2: "between", 3: "hi"])
                #expect(try await world.seqs(of: mary).isEmpty)
            }
        }

        @Test func retries_within_one_queue__are_appended_once() async throws {
            try await withInboxes(2) { world in
                let (ada, grace) = (world.users[0], world.users[1])
                let answers = Mutex<[Int64?]>([])
                let writer = InboxWriter(postgres: world.postgres, logger: .quiet)
                for id in ["m1", "m1", "m2", "m1", "m2"] {
                    _ = writer.offer(try message(id, from: ada, to: grace, id: id)) { result in
                        answers.withLock { $0.append(try? result.get().senderSeq) }
                    }
                }
                writer.finish()
                await writer.run()
                #expect(answers.withLock { $0 } == [1, 1, 2, 1, 2])
                #expect(try await world.texts(of: grace) == [1: "m1", 2: "m2"])
            }
        }

        @Test func unknown_user__is_told_and_does_not_stop_the_others() async throws {
            try await withInboxes(2) { world in
                let (ada, grace) = (world.users[0], world.users[1])
                let outcomes = Mutex<[InboxWriter.Failure?]>([])
                let writer = InboxWriter(postgres: world.postgres, logger: .quiet)
                for (number, pair) in [(ada, grace), (ada, 404), (404, grace), (grace, ada)].enumerated() {
                    _ = writer.offer(try message("\(number)", from: pair.0, to: pair.1, id: "m\(number)")) { result in
                        outcomes.withLock { $0.append(result.failure) }
                    }
                }
                writer.finish()
                await writer.run()
                #expect(outcomes.withLock { $0 } == [nil, .noInbox, .noInbox, nil])
                #expect(try await world.texts(of: ada) == [1: "0", 2: "3"])
                #expect(try await world.texts(of: grace) == [1: "0", 2: "3"])
                #expect(try await world.seqs(of: 404).isEmpty)
            }
        }

        @Test func full_queue__refuses_and_does_not_answer() async throws {
            try await withInboxes(2) { world in
                let answered = Mutex(0)
                let writer = InboxWriter(postgres: world.postgres, queueMax: 3, logger: .quiet)
                let accepted = try (0..<5).map { number in
                    let sent = try message("x", from: world.users[0], to: world.users[1], id: "m\(number)")
                    return writer.offer(sent) { _ in answered.withLock { $0 += 1 } }
                }
                #expect(accepted == [true, true, true, false, false])
                writer.finish()
                await writer.run()
                #expect(answered.withLock { $0 } == 3)
                #expect(writer.waiting == 0)
                #expect(try await world.head(of: world.users[1]) == 3)
            }
        }

        @Test func more_than_a_batch__is_appended_in_order() async throws {
            try await withInboxes(2) { world in
                let (ada, grace) = (world.users[0], world.users[1])
                try await world.withWriter(batchMax: 7) { writer in
                    let seqs = try await withThrowingTaskGroup(of: Int64.self) { group in
                        for number in 0..<100 {
                            let sent = try message("\(number)", from: ada, to: grace, id: "m\(number)")
                            group.addTask { try await writer.append(sent).get().senderSeq }
                        }
                        return try await group.reduce(into: Set()) { $0.insert($1) }
                    }
                    #expect(seqs == Set(1...100))
                }
                #expect(try await world.seqs(of: grace) == Array(1...100))
            }
        }

        @Test func database_that_is_gone__is_told() async throws {
            try await withInboxes(2) { world in
                await world.postgres.shutdown()
                try await world.withWriter { writer in
                    let sent = try message("x", from: world.users[0], to: world.users[1], id: "m1")
                    #expect(await writer.append(sent).failure == .unavailable)
                }
            }
        }
    }
}
