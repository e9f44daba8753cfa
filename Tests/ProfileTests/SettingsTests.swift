// Settings as their clients see them, on Postgres.
import Contract
import GRPCCore
import TestSupport
import Testing

@testable import Profile

@Suite(.serialized) struct SettingsTests {
    @Test func settings__begin_with_the_defaults() async throws {
        try await withHouse { house in
            let settings = try await house.settings.getSettings(.init(), metadata: .bearer(house.ada))
            #expect(settings.version == 1)
            #expect(settings.privacy.find.kind == .everyone)
            #expect(settings.privacy.message.kind == .friends)
            #expect(settings.push.enabled && settings.push.previews && settings.push.logins)
            #expect(!settings.push.hasQuietHours)
        }
    }

    @Test func update__changes_what_is_present_and_tells_the_own_log_only_that() async throws {
        try await withHouse { house in
            let first = try await house.settings.updateSettings(
                .with { $0.privacy.message.kind = .everyone }, metadata: .bearer(house.ada))
            #expect(first.version == 2)
            #expect(first.privacy.message.kind == .everyone)
            #expect(first.privacy.presence.kind == .friends)
            let second = try await house.settings.updateSettings(
                .with {
                    $0.push.previews = false
                    $0.push.quietHours = .with { $0.start = "22:00"; $0.end = "07:30"; $0.timeZone = "Europe/Berlin" }
                }, metadata: .bearer(house.ada))
            #expect(second.version == 3)
            #expect(second.privacy.message.kind == .everyone)
            #expect(second.push.enabled)
            #expect(!second.push.previews)
            #expect(try await house.settings.getSettings(.init(), metadata: .bearer(house.ada)) == second)

            let events = try await house.database.events(of: house.ada)
            #expect(events.map(\.seq) == [1, 2])
            #expect(events[0].settings.settings.hasPrivacy && !events[0].settings.settings.hasPush)
            #expect(events[1].settings.settings.push == second.push)
            #expect(!events[1].settings.settings.hasPrivacy)
            let log = try await house.database.events(of: house.grace)
            #expect(log.isEmpty)
        }
    }

    @Test func device__is_given_only_what_changed_since_its_version() async throws {
        try await withHouse { house in
            try await house.setPrivacy(of: house.ada) { $0.find.kind = .nobody }
            _ = try await house.settings.updateSettings(
                .with { $0.push.enabled = false }, metadata: .bearer(house.ada))
            for (since, privacy, push) in [(0, true, true), (1, true, true), (2, false, true), (3, false, false)] {
                let settings = try await house.settings.getSettings(
                    .with { $0.sinceVersion = Int64(since) }, metadata: .bearer(house.ada))
                #expect(settings.version == 3)
                #expect(settings.hasPrivacy == privacy)
                #expect(settings.hasPush == push)
            }
        }
    }

    @Test func device__that_is_ahead_is_told_so() async throws {
        try await withHouse { house in
            func since(_ version: Int64) async -> RPCError? {
                await status {
                    _ = try await house.settings.getSettings(
                        .with { $0.sinceVersion = version }, metadata: .bearer(house.ada))
                }
            }
            // Also of settings that nobody has ever changed.
            for newest in Int64(1)...3 {
                #expect(await since(newest) == nil)
                for ahead in [newest + 1, .max] {
                    let error = await since(ahead)
                    #expect(error?.code == .outOfRange)
                    #expect(error?.message == "since_version is ahead of the newest, \(newest)")
                }
                try await house.setPrivacy(of: house.ada) { $0.find.kind = newest % 2 == 0 ? .everyone : .nobody }
            }
        }
    }

    @Test func update__to_what_is_already_so_changes_nothing() async throws {
        try await withHouse { house in
            let same = try await house.settings.updateSettings(
                .with {
                    $0.privacy.find.kind = .everyone
                    $0.push.enabled = true
                    $0.expectedVersion = 1
                }, metadata: .bearer(house.ada))
            #expect(same.version == 1)
            let log = try await house.database.events(of: house.ada)
            #expect(log.isEmpty)
            let error = await status {
                _ = try await house.settings.updateSettings(
                    .with { $0.expectedVersion = 2 }, metadata: .bearer(house.ada))
            }
            #expect(error?.code == .aborted)
        }
    }

    @Test func update__by_many_for_one_version_has_one_winner() async throws {
        try await withHouse { house in
            let codes = await together(
                (1...Int64(16)).map { group in
                    {
                        _ = try await house.settings.updateSettings(
                            .with {
                                $0.privacy.find = .with { $0.kind = .group; $0.groupID = group }
                                $0.expectedVersion = 1
                            }, metadata: .bearer(house.ada))
                    }
                })
            #expect(codes.count { $0 == nil } == 1)
            #expect(codes.count { $0 == .aborted } == 15)
            let log = try await house.database.events(of: house.ada)
            #expect(log.map(\.seq) == [1])
        }
    }

    @Test func update__without_its_event_does_not_happen() async throws {
        try await withHouse { house in
            try await house.database.client.query("DELETE FROM inbox.heads WHERE user_id = \(house.ada)")
            let error = await status { try await house.setPrivacy(of: house.ada) { $0.find.kind = .nobody } }
            #expect(error?.code == .internalError)
            let settings = try await house.settings.getSettings(.init(), metadata: .bearer(house.ada))
            #expect(settings.version == 1)
            #expect(settings.privacy.find.kind == .everyone)
        }
    }

    @Test(arguments: ["UTC", "GMT", "CET", "EST5EDT", "Etc/UTC", "America/Argentina/Buenos_Aires"])
    func quiet_hours__are_of_any_zone_of_the_database(_ zone: String) throws {
        let change = try SettingsChange(.with {
            $0.push.quietHours = .with { ($0.start, $0.end, $0.timeZone) = ("22:00", "07:00", zone) }
        })
        #expect(change.push?.applied(to: .fallback).quietHours.timeZone == zone)
    }

    @Test func update__refuses_what_the_rules_refuse() async throws {
        let bad: [(String, Ringway_V1_UpdateSettingsRequest)] = [
            ("privacy.find.kind", .with { $0.privacy.find = .init() }),
            ("privacy.find.kind", .with { $0.privacy.find.kind = .UNRECOGNIZED(9) }),
            ("privacy.add.group_id", .with { $0.privacy.add.kind = .group }),
            ("privacy.add.group_id", .with { $0.privacy.add = .with { $0.kind = .group; $0.groupID = -1 } }),
            ("privacy.avatar.group_id", .with { $0.privacy.avatar = .with { $0.kind = .nobody; $0.groupID = 1 } }),
        ] + [
            ("start", "24:00", "07:00", "UTC"), ("start", "7:00", "08:00", "UTC"), ("end", "22:00", "07:60", "UTC"),
            ("start", "", "07:00", "UTC"), ("end", "22:00", "22:00", "UTC"), ("time_zone", "22:00", "07:00", ""),
            ("time_zone", "22:00", "07:00", "Mars/Olympus"), ("time_zone", "22:00", "07:00", "GMT+3"),
            ("time_zone", "22:00", "07:00", "../../etc/passwd"), ("time_zone", "22:00", "07:00", "/etc/localtime"),
            ("time_zone", "22:00", "07:00", String(repeating: "A/", count: 10_000)), ("start", "２2:00", "07:00", "UTC"),
        ].map { (field, start, end, zone) in
            (
                "push.quiet_hours.\(field)",
                .with { $0.push.quietHours = .with { $0.start = start; $0.end = end; $0.timeZone = zone } }
            )
        }
        try await withHouse { house in
            for (field, request) in bad {
                let error = await status { _ = try await house.settings.updateSettings(request, metadata: .bearer(house.ada)) }
                #expect(error?.code == .invalidArgument)
                #expect(error?.message.hasPrefix(field) == true, "\(error?.message ?? "") for \(field)")
            }
            let error = await status {
                _ = try await house.settings.getSettings(.with { $0.sinceVersion = -1 }, metadata: .bearer(house.ada))
            }
            #expect(error?.code == .invalidArgument)
            let log = try await house.database.events(of: house.ada)
            #expect(log.isEmpty)
        }
    }

    @Test func checkAudience__joins_settings_relations_and_blocks() async throws {
        try await withHouse { house in
            let (ada, grace) = (house.ada, house.grace)
            func allowed(_ field: Ringway_V1_PrivacyField) async throws -> [Int64] {
                try await house.settings.checkAudience(
                    .with { $0.viewerID = ada; $0.field = field; $0.ownerIds = [grace, 1, Int64.max, grace] }
                ).allowedIds
            }
            #expect(try await allowed(.find) == [grace])
            #expect(try await allowed(.message) == [])
            house.friendship.befriend(ada, grace)
            #expect(try await allowed(.message) == [grace])
            try await house.setPrivacy(of: grace) { $0.message = .with { $0.kind = .group; $0.groupID = 7 } }
            #expect(try await allowed(.message) == [])
            house.friendship.set(grace, to: ada) { $0.friend = true; $0.groupID = 7 }
            #expect(try await allowed(.message) == [grace])
            house.friendship.block(ada, by: grace)
            #expect(try await allowed(.message) == [])
            #expect(try await allowed(.find) == [])
            house.friendship.block(grace, by: ada)
            #expect(try await allowed(.find) == [])
        }
    }

    @Test func checkAudience__refuses_no_field_and_too_many_owners() async throws {
        try await withHouse { house in
            for request in [
                .with { $0.ownerIds = [house.ada] }, .with { $0.field = .UNRECOGNIZED(65_537) },
                .with { $0.field = .find; $0.ownerIds = Array(1...1001) },
            ] as [Ringway_V1_CheckAudienceRequest] {
                let error = await status { _ = try await house.settings.checkAudience(request) }
                #expect(error?.code == .invalidArgument)
            }
        }
    }
}
