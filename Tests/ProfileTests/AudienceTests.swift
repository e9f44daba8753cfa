// The audience rule, whole: every audience against every way in which an owner may stand to a viewer.
import Contract
import Testing

@testable import Profile

@Suite struct AudienceTests {
    private static let standings: [(String, Standing)] = [
        ("stranger", .stranger), ("friend", Standing(areFriends: true)),
        ("friend in 7", Standing(areFriends: true, group: 7)), ("friend in 8", Standing(areFriends: true, group: 8)),
        // Left over from a friendship that ended.
        ("stranger in 7", Standing(group: 7)),
    ]

    @Test(arguments: [
        (Audience.everyone, ["stranger", "friend", "friend in 7", "friend in 8", "stranger in 7"]),
        (.friends, ["friend", "friend in 7", "friend in 8"]), (.group(7), ["friend in 7"]), (.group(0), []),
        (.nobody, []),
    ])
    func audience__holds_whom_it_names(_ audience: Audience, _ meant: [String]) {
        #expect(Self.standings.filter { $0.1.isMeant(by: audience) }.map(\.0) == meant)
    }

    @Test(arguments: [(true, false), (false, true), (true, true)])
    func block__ends_every_audience(_ ownerBlocks: Bool, _ viewerBlocks: Bool) {
        for audience in [Audience.everyone, .friends, .group(7), .nobody] {
            for var standing in Self.standings.map(\.1) {
                standing.ownerBlocks = ownerBlocks
                standing.viewerBlocks = viewerBlocks
                #expect(!standing.isMeant(by: audience))
            }
        }
    }

    @Test func defaults__are_those_of_the_contract() {
        let rules = PrivacyRules()
        #expect(PrivacyField.allCases.map { rules[$0] } == [.everyone, .everyone, .friends, .friends, .friends, .everyone])
    }

    @Test func what_is_stored_but_unknown__is_nobody() {
        #expect([0, 5, -1, Int16.max].map { Audience(stored: $0, group: 7) } == [.nobody, .nobody, .nobody, .nobody])
    }

    @Test func profile__shows_each_guarded_field_by_its_own_audience() {
        let profile = Ringway_V1_Profile.with {
            $0.userID = 1
            $0.nickname = "Ada"
            $0.status = .busy
            $0.lastSeen.seconds = 1
            $0.avatar = "ab"
        }
        var privacy = PrivacyRules()
        privacy[.presence] = .group(7)
        privacy[.lastSeen] = .friends
        privacy[.avatar] = .nobody
        let friend = profile.shown(to: Standing(areFriends: true), privacy)
        #expect(friend?.status == .unspecified)
        #expect(friend?.hasLastSeen == true)
        #expect(friend?.avatar == "")
        #expect(friend?.nickname == "Ada")
        #expect(profile.shown(to: Standing(areFriends: true, group: 7), privacy)?.status == .busy)
        #expect(profile.shown(to: .stranger, privacy)?.hasLastSeen == false)
        #expect(profile.shown(to: Standing(areFriends: true, ownerBlocks: true), privacy) == nil)
        // Who blocks must still see whom.
        #expect(profile.shown(to: Standing(viewerBlocks: true), privacy)?.nickname == "Ada")
    }

    @Test func invisible__looks_like_no_status() {
        let profile = Ringway_V1_Profile.with { $0.status = .invisible }
        #expect(profile.shown(to: Standing(areFriends: true), PrivacyRules())?.status == .unspecified)
    }
}
