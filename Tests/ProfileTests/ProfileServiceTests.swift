// The service as its clients see it, on Postgres.
import Contract
import GRPCCore
import GRPCInProcessTransport
import Postgres
import TestSupport
import Testing

@Suite(.serialized) struct ProfileServiceTests {
    @Test func getProfile__shows_any_user_and_a_new_profile_bears_the_username() async throws {
        try await withProfiles { profiles, ada, grace, _ in
            let profile = try await profiles.getProfile(.with { $0.userID = grace }, metadata: .bearer(ada))
            #expect(profile.userID == grace)
            #expect(profile.username == "grace")
            #expect(profile.nickname == "grace")
            #expect(profile.signature == "")
            #expect(profile.version == 1)
            #expect(profile.updatedAt.seconds > 1_700_000_000)
            #expect(profile.updatedAt.nanos % 1000 == 0)

            let mine = try await profiles.getMyProfile(.init(), metadata: .bearer(grace))
            #expect(mine.status == .online)
            // What a stranger sees less by default.
            let expected = Ringway_V1_Profile.with {
                $0 = mine
                $0.status = .unspecified
            }
            #expect(profile == expected)
        }
    }

    @Test func getProfile__tells_NOT_FOUND_for_nobodys_id() async throws {
        try await withProfiles { profiles, ada, _, _ in
            for id in [0, -1, 1, Int64.max, .min] {
                let error = await status {
                    _ = try await profiles.getProfile(.with { $0.userID = id }, metadata: .bearer(ada))
                }
                #expect(error?.code == .notFound)
                #expect(error?.message == "no such user")
            }
        }
    }

    @Test func everything__needs_a_caller() async throws {
        try await withProfiles { profiles, _, grace, _ in
            let codes = [
                await status { _ = try await profiles.getProfile(.with { $0.userID = grace }) }?.code,
                await status { _ = try await profiles.getMyProfile(.init()) }?.code,
                await status { _ = try await profiles.updateMyProfile(.with { $0.nickname = "x" }) }?.code,
            ]
            #expect(codes == [.unauthenticated, .unauthenticated, .unauthenticated])
        }
    }

    @Test func update__changes_only_what_is_present_and_tells_the_own_log() async throws {
        try await withProfiles { profiles, ada, grace, database in
            let renamed = try await profiles.updateMyProfile(
                .with { $0.nickname = "Ada L." }, metadata: .bearer(ada))
            #expect(renamed.nickname == "Ada L.")
            #expect(renamed.username == "ada")
            #expect(renamed.version == 2)
            let signed = try await profiles.updateMyProfile(
                .with { $0.signature = "Poetical science" }, metadata: .bearer(ada))
            #expect(signed.nickname == "Ada L.")
            #expect(signed.version == 3)
            let emptied = try await profiles.updateMyProfile(.with { $0.signature = "" }, metadata: .bearer(ada))
            #expect(emptied.signature == "")
            #expect(try await profiles.getMyProfile(.init(), metadata: .bearer(ada)) == emptied)

            let events = try await database.events(of: ada)
            #expect(events.map(\.seq) == [1, 2, 3])
            #expect(events.map(\.profile.profile) == [renamed, signed, emptied])
            #expect(try await database.events(of: grace).isEmpty)
        }
    }

    @Test func update__of_nothing_changes_nothing() async throws {
        try await withProfiles { profiles, ada, _, database in
            let before = try await profiles.getMyProfile(.init(), metadata: .bearer(ada))
            let after = try await profiles.updateMyProfile(.with { $0.expectedVersion = 1 }, metadata: .bearer(ada))
            #expect(after == before)
            let error = await status {
                _ = try await profiles.updateMyProfile(.with { $0.expectedVersion = 2 }, metadata: .bearer(ada))
            }
            #expect(error?.code == .aborted)
            #expect(try await database.events(of: ada).isEmpty)
        }
    }

    @Test func update__refuses_what_the_rules_refuse() async throws {
        try await withProfiles { profiles, ada, _, database in
            let long = [65, 1 << 20].map { String(repeating: "x", count: $0) }
            for nickname in ["", "  ", "nul\0"] + long {
                let error = await status {
                    _ = try await profiles.updateMyProfile(.with { $0.nickname = nickname }, metadata: .bearer(ada))
                }
                #expect(error?.code == .invalidArgument)
                #expect(error?.message.hasPrefix("nickname must ") == true)
            }
            let events = try await database.events(of: ada)
            #expect(events.isEmpty)
        }
    }

    @Test func update__keeps_text_as_it_came_and_never_reads_it_as_SQL() async throws {
        try await withProfiles { profiles, ada, _, _ in
            for text in ["'); DROP TABLE profile.profiles; --", "e\u{301}", "👩‍👩‍👧‍👦", "$1 \\ %s"] {
                _ = try await profiles.updateMyProfile(.with { $0.nickname = text }, metadata: .bearer(ada))
                let profile = try await profiles.getMyProfile(.init(), metadata: .bearer(ada))
                #expect(profile.nickname.unicodeScalars.elementsEqual(text.unicodeScalars))
            }
        }
    }

    @Test func update__meant_for_another_version_is_ABORTED() async throws {
        try await withProfiles { profiles, ada, _, database in
            for version in [0, -1, 2, Int64.max] {
                let error = await status {
                    _ = try await profiles.updateMyProfile(
                        .with {
                            $0.nickname = "x"
                            $0.expectedVersion = version
                        }, metadata: .bearer(ada))
                }
                #expect(error?.code == .aborted)
            }
            let events = try await database.events(of: ada)
            #expect(events.isEmpty)
        }
    }

    @Test func update__by_many_for_one_version_has_one_winner() async throws {
        try await withProfiles { profiles, ada, _, database in
            let codes = await together(
                (0..<16).map { index in
                    {
                        _ = try await profiles.updateMyProfile(
                            .with {
                                $0.nickname = "name \(index)"
                                $0.expectedVersion = 1
                            }, metadata: .bearer(ada))
                    }
                })
            #expect(codes.count { $0 == nil } == 1)
            #expect(codes.count { $0 == .aborted } == 15)
            let events = try await database.events(of: ada)
            #expect(events.map(\.seq) == [1])
        }
    }

    @Test func update__by_a_caller_without_a_profile_is_NOT_FOUND() async throws {
        try await withProfiles { profiles, _, _, _ in
            let error = await status {
                _ = try await profiles.updateMyProfile(.with { $0.nickname = "x" }, metadata: .bearer(1))
            }
            #expect(error?.code == .notFound)
        }
    }

    @Test func update__without_its_event_does_not_happen() async throws {
        try await withProfiles { profiles, ada, _, database in
            try await database.client.query("DELETE FROM inbox.heads WHERE user_id = \(ada)")
            let error = await status {
                _ = try await profiles.updateMyProfile(.with { $0.nickname = "x" }, metadata: .bearer(ada))
            }
            #expect(error?.code == .internalError)
            #expect(error?.message == "internal error")
            #expect(try await profiles.getMyProfile(.init(), metadata: .bearer(ada)).version == 1)
        }
    }
}
