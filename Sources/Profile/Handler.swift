// ringway.v1.ProfileService: reads a request, applies the rules, asks the store, and shows each caller what that caller
// may see. It holds no state.
import Cache
import Contract
import GRPCCore
import Postgres
import ServiceKit

public struct ProfileHandler: Ringway_V1_ProfileService.SimpleServiceProtocol {
    private let store: ProfileStore
    private let settings: SettingsStore
    private let relations: Relations
    private let audiences: AudienceCheck
    private let mill: PictureMill
    private let searchLimits: SearchLimits
    private let changeLimits: ChangeLimits

    public init(
        postgres: PostgresClient, relations: Relations, mill: PictureMill, searchLimits: SearchLimits = SearchLimits(),
        changeLimits: ChangeLimits = ChangeLimits(), cache: Cache = .off
    ) {
        store = ProfileStore(postgres: postgres, cache: cache)
        settings = SettingsStore(postgres: postgres, cache: cache)
        self.relations = relations
        audiences = AudienceCheck(settings: settings, relations: relations)
        self.mill = mill
        self.searchLimits = searchLimits
        self.changeLimits = changeLimits
    }

    // MARK: Reading

    public func getProfile(
        request: Ringway_V1_GetProfileRequest, context: ServerContext
    ) async throws -> Ringway_V1_Profile {
        let caller = try Caller.required()
        guard let profile = try await profiles(of: [request.userID], for: caller).first else {
            throw ProfileError.noSuchUser
        }
        return profile
    }

    public func getProfiles(
        request: Ringway_V1_GetProfilesRequest, context: ServerContext
    ) async throws -> Ringway_V1_GetProfilesResponse {
        let caller = try Caller.required()
        let profiles = try await profiles(of: UserBatch(request.userIds).ids, for: caller)
        return .with { $0.profiles = profiles }
    }

    public func getMyProfile(
        request: Ringway_V1_GetMyProfileRequest, context: ServerContext
    ) async throws -> Ringway_V1_Profile {
        try await whole(store.profile(of: Caller.required().userID).value)
    }

    /// The same is asked for every user, whether there is one or not and whatever the caller may see, so that all of
    /// them take as long.
    private func profiles(of users: [Int64], for caller: Caller) async throws -> [Ringway_V1_Profile] {
        async let found = store.profiles(of: users)
        async let seen = store.lastSeen(of: users)
        async let chosen = settings.privacy(of: users)
        async let known = relations.standings(of: users, to: caller.userID)
        let (profiles, lastSeen, privacy, standings) = try await (found, seen, chosen, known)
        return profiles.compactMap { profile, _ in
            var profile = profile
            if let at = lastSeen[profile.userID] { profile.lastSeen = at }
            if profile.userID == caller.userID { return profile }
            return profile.shown(
                to: standings[profile.userID] ?? .stranger, privacy[profile.userID] ?? PrivacyRules())
        }
    }

    /// One's own profile, with what is kept apart.
    private func whole(_ profile: Ringway_V1_Profile) async throws -> Ringway_V1_Profile {
        var profile = profile
        if let at = try await store.lastSeen(of: [profile.userID])[profile.userID] { profile.lastSeen = at }
        return profile
    }

    // MARK: Searching

    /// Users of each place that are looked at for one page, all at once. Beyond them a page may end early, and is then the
    /// last. How often anything is asked depends only on what is shown: whoever is hidden, it is as if nobody matched.
    private static let lookedAtMax = Relations.ownersMax

    public func searchProfiles(
        request: Ringway_V1_SearchProfilesRequest, context: ServerContext
    ) async throws -> Ringway_V1_SearchProfilesResponse {
        let caller = try Caller.required()
        let search = try Search(request)
        try await searchLimits.take(for: caller)
        var found: [(user: Int64, place: Search.Place)] = []
        var place: Search.Place? = search.start
        // One more than the page holds, to know whether there are more. A cursor names only users that were shown:
        // who is hidden must not show in it.
        while found.count <= search.limit, let from = place {
            let candidates = try await candidates(search, from: from)
            let others = candidates.map(\.user).filter { $0 != caller.userID }
            let allowed = Set(try await audiences.allowed(caller.userID, .find, of: others))
            found += candidates.filter { allowed.contains($0.user) }
            place = search.next(after: from)
        }
        let page = found.prefix(search.limit)
        let profiles = try await profiles(of: page.map(\.user), for: caller)
        let byID = Dictionary(uniqueKeysWithValues: profiles.map { ($0.userID, $0) })
        return .with {
            $0.profiles = page.compactMap { byID[$0.user] }
            if found.count > search.limit, let last = page.last { $0.nextCursor = last.place.cursor }
        }
    }

    private func candidates(
        _ search: Search, from place: Search.Place
    ) async throws -> [(user: Int64, place: Search.Place)] {
        switch place {
        case .usernames(let name):
            try await store.usernames(search, after: name, limit: Self.lookedAtMax)
                .map { ($0.user, .usernames(after: $0.username)) }
        case .nicknames(let user):
            try await store.nicknames(search, after: user, limit: Self.lookedAtMax, patience: searchLimits.patience)
                .map { ($0, .nicknames(after: $0)) }
        }
    }

    // MARK: Changing

    public func updateMyProfile(
        request: Ringway_V1_UpdateMyProfileRequest, context: ServerContext
    ) async throws -> Ringway_V1_Profile {
        let caller = try Caller.required()
        let change = try ProfileChange(request)
        if change.isEmpty {
            let profile = try await store.profile(of: caller.userID).value
            guard change.fits(version: profile.version) else { throw ProfileError.outdated }
            return try await whole(profile)
        }
        try await changeLimits.take(for: caller)
        return try await whole(store.update(change, of: caller.userID))
    }

    public func setMyAvatar(
        request: Ringway_V1_SetMyAvatarRequest, context: ServerContext
    ) async throws -> Ringway_V1_Profile {
        let caller = try Caller.required()
        let header = try PictureHeader(probing: request.image, declared: request.contentType)
        try await changeLimits.takePicture(for: caller)
        let picture = try await mill.avatar(from: request.image, header)
        return try await whole(store.setAvatar(picture, of: caller.userID))
    }

    public func removeMyAvatar(
        request: Ringway_V1_RemoveMyAvatarRequest, context: ServerContext
    ) async throws -> Ringway_V1_Profile {
        let caller = try Caller.required()
        try await changeLimits.take(for: caller)
        return try await whole(store.removeAvatar(of: caller.userID))
    }

    public func getAvatar(
        request: Ringway_V1_GetAvatarRequest, context: ServerContext
    ) async throws -> Ringway_V1_GetAvatarResponse {
        guard [0, AvatarPicture.largeSide, AvatarPicture.smallSide].contains(Int(request.size)) else {
            throw ProfileError.invalid("size", "must be \(AvatarPicture.largeSide) or \(AvatarPicture.smallSide)")
        }
        guard let hash = AvatarPicture.hash(request.hash) else {
            throw ProfileError.invalid("hash", "must be 64 hexadecimal digits in lower case")
        }
        guard let image = try await store.avatar(hash, isSmall: request.size == AvatarPicture.smallSide) else {
            throw ProfileError.noSuchAvatar
        }
        return .with {
            $0.contentType = AvatarPicture.contentType
            $0.image = image
        }
    }

    /// For services: the users come from the request, because no user calls it.
    public func recordLastSeen(
        request: Ringway_V1_RecordLastSeenRequest, context: ServerContext
    ) async throws -> Ringway_V1_RecordLastSeenResponse {
        guard request.userIds.count <= Relations.ownersMax else {
            throw ProfileError.invalid("user_ids", "must be at most \(Relations.ownersMax)")
        }
        try await store.recordLastSeen(request.userIds)
        return .init()
    }
}
