// The hasher alone: what it writes, and what it does when there is too much to do.
import Testing

@testable import Auth

@Suite(.serialized) struct PasswordHasherTests {
    @Test func hash__is_argon2id_at_the_promised_cost_with_its_own_salt() async throws {
        let hasher = PasswordHasher(threads: 1, queueLimit: 4)
        let password = try Password("correct horse")
        let one = try await hasher.hash(password)
        let other = try await hasher.hash(password)
        #expect(one.hasPrefix("$argon2id$v=19$m=19456,t=2,p=1$"))
        #expect(one != other)
        #expect(try await hasher.matches(password, one))
        #expect(try await hasher.matches(password, other))
        #expect(try await !hasher.matches(Password("correct horsf"), one))
    }

    @Test func hash__sees_every_byte_of_a_password() async throws {
        let hasher = PasswordHasher(threads: 1, queueLimit: 4)
        let hash = try await hasher.hash(Password("before\0after"))
        #expect(try await hasher.matches(Password("before\0after"), hash))
        #expect(try await !hasher.matches(Password("before\0other"), hash))
    }

    @Test func nobody__is_matched_by_no_password_and_costs_the_same() async throws {
        let hasher = PasswordHasher(threads: 1, queueLimit: 4)
        let password = try Password("correct horse")
        let hash = try await hasher.hash(password)
        let clock = ContinuousClock()
        var (wrong, nobody) = ([Duration](), [Duration]())
        for _ in 0..<5 {
            wrong.append(
                try await clock.measure {
                    let matches = try await hasher.matches(Password("wrong horse"), hash)
                    #expect(!matches)
                })
            nobody.append(
                try await clock.measure {
                    let matches = try await hasher.matches(password, nil)
                    #expect(!matches)
                })
        }
        let ratio = wrong.min()! / nobody.min()!
        // Without the stand-in it would be a hundred; a busy machine alone makes it two.
        #expect(0.2...5 ~= ratio)
    }

    // Small, so that many can be tried: what matters is which of them is more.
    private static func cost(_ kibibytes: UInt32, _ passes: UInt32, lanes: UInt32 = 1) -> HashCost {
        var cost = HashCost()
        (cost.kibibytes, cost.passes, cost.lanes) = (kibibytes, passes, lanes)
        return cost
    }

    private static func hasher(_ cost: HashCost) -> PasswordHasher {
        PasswordHasher(threads: 1, queueLimit: 4, cost: cost)
    }

    @Test(arguments: [
        cost(64, 1), cost(256, 3), cost(1024, 2), cost(1024, 3), cost(2048, 1), cost(1000, 3), cost(1020, 3),
        cost(512, 4, lanes: 4),
    ])
    func wrong_password__is_the_work_of_a_new_hash_whatever_was_cheaper_of_the_old_one(old: HashCost) async throws {
        let new = Self.hasher(Self.cost(1024, 3))
        let (right, wrong) = (try Password("correct horse"), try Password("wrong horse"))
        let stored = try await Self.hasher(old).hash(right)
        func work(_ password: Password, _ encoded: String?) async throws -> Int64 {
            let before = (new.comparing, new.count)
            #expect(try await new.matches(password, encoded) == (password == right && encoded != nil))
            #expect(new.count == before.1 + 1)
            return Int64(new.comparing - before.0)
        }
        let nobody = try await work(wrong, nil)
        #expect(nobody == 1024 * 3)
        // What argon2 can't do by itself: eight kibibytes in each pass.
        let left = try await nobody - work(wrong, stored)
        #expect(0..<(8 * 3) ~= left)
        #expect(try await work(right, stored) == Int64(old.work))
    }

    @Test func outdated__is_what_was_cheaper_and_nothing_else() async throws {
        let password = try Password("correct horse")
        // Of two costs never each is outdated to the other, or two nodes would hash by turns.
        let rising: [[HashCost]] = [
            [Self.cost(64, 1)], [Self.cost(64, 2), Self.cost(128, 1), Self.cost(64, 2, lanes: 2)], [Self.cost(100, 2)],
            [Self.cost(300, 1)],
        ]
        for (old, costs) in rising.enumerated() {
            for cost in costs {
                let hash = try await Self.hasher(cost).hash(password)
                for (new, costs) in rising.enumerated() {
                    for cost in costs { #expect(Self.hasher(cost).isOutdated(hash) == (old < new)) }
                }
            }
        }
    }

    @Test func dearer_hash__is_compared_and_nothing_more() async throws {
        let hasher = Self.hasher(Self.cost(64, 1))
        let hash = try await Self.hasher(Self.cost(128, 2)).hash(Password("correct horse"))
        #expect(try await !hasher.matches(Password("wrong horse"), hash))
        #expect(hasher.comparing == 256)
    }

    @Test func damaged_hash__is_an_error_and_not_a_mismatch() async throws {
        let hasher = PasswordHasher(threads: 1, queueLimit: 4)
        await #expect(throws: AuthError.hashingFailed) { try await hasher.matches(Password("12345678"), "damaged") }
    }

    @Test func queue__is_bounded_and_says_when_to_come_back() async throws {
        let hasher = PasswordHasher(threads: 1, queueLimit: 4)
        let password = try Password("correct horse")
        let results = await withTaskGroup(of: Result<String, any Error>.self) { group in
            for _ in 0..<40 {
                group.addTask {
                    do { return .success(try await hasher.hash(password)) } catch { return .failure(error) }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        let refusals = results.compactMap { result -> Duration? in
            guard case .failure(AuthError.busy(let delay)) = result else { return nil }
            return delay
        }
        let hashed = results.count { (try? $0.get()) != nil }
        #expect(hashed >= 4)
        #expect(hashed + refusals.count == 40)
        #expect(refusals.count > 0)
        #expect(refusals.allSatisfy { .milliseconds(10)...(.seconds(10)) ~= $0 })
        // And it is usable again.
        #expect(try await hasher.matches(password, hasher.hash(password)))
    }

    @Test func job__whose_task_is_cancelled_is_never_begun() async throws {
        let hasher = PasswordHasher(threads: 1, queueLimit: 64)
        let password = try Password("correct horse")
        let tasks = (0..<64).map { _ in Task { try await hasher.hash(password) } }
        for task in tasks { task.cancel() }
        let start = ContinuousClock.now
        var cancelled = 0
        for task in tasks {
            if case .failure(let error) = await task.result, error is CancellationError { cancelled += 1 }
        }
        #expect(cancelled >= 48)
        #expect(ContinuousClock.now - start < .seconds(2))
    }
}
