// What Auth asks of other services, through their contract and on behalf of the caller: the parts of an export.
import Contract
import GRPCCore
import ServiceKit

public struct AuthPeers: Sendable {
    private static let eventsAPage: Int32 = 500
    private static let listPage: Int32 = 200

    let profile: @Sendable (Caller) async throws -> Ringway_V1_Profile
    let friends: @Sendable (Caller) async throws -> [Ringway_V1_Friend]
    let requests: @Sendable (Caller) async throws -> [Ringway_V1_FriendRequest]
    let groups: @Sendable (Caller) async throws -> [Ringway_V1_FriendGroup]
    let blocks: @Sendable (Caller) async throws -> [Ringway_V1_Block]
    let userSettings: @Sendable (Caller) async throws -> Ringway_V1_Settings
    let cursors: @Sendable (Caller) async throws -> [Ringway_V1_Cursor]
    /// Events after a seq, and the newest seq of the log.
    let events: @Sendable (Caller, _ since: Int64) async throws -> (events: [Ringway_V1_Event], head: Int64)

    init(
        profile: @escaping @Sendable (Caller) async throws -> Ringway_V1_Profile,
        friends: @escaping @Sendable (Caller) async throws -> [Ringway_V1_Friend],
        requests: @escaping @Sendable (Caller) async throws -> [Ringway_V1_FriendRequest],
        groups: @escaping @Sendable (Caller) async throws -> [Ringway_V1_FriendGroup],
        blocks: @escaping @Sendable (Caller) async throws -> [Ringway_V1_Block],
        userSettings: @escaping @Sendable (Caller) async throws -> Ringway_V1_Settings,
        cursors: @escaping @Sendable (Caller) async throws -> [Ringway_V1_Cursor],
        events: @escaping @Sendable (Caller, Int64) async throws -> (events: [Ringway_V1_Event], head: Int64)
    ) {
        self.profile = profile
        self.friends = friends
        self.requests = requests
        self.groups = groups
        self.blocks = blocks
        self.userSettings = userSettings
        self.cursors = cursors
        self.events = events
    }

    public init<Transport: ClientTransport>(client: GRPCClient<Transport>) {
        let profiles = Ringway_V1_ProfileService.Client(wrapping: client)
        let settings = Ringway_V1_SettingsService.Client(wrapping: client)
        let friendship = Ringway_V1_FriendshipService.Client(wrapping: client)
        let inbox = Ringway_V1_InboxService.Client(wrapping: client)
        profile = { try await profiles.getMyProfile(.init(), metadata: $0.metadata) }
        friends = { caller in
            try await Self.pages { after in
                let request = Ringway_V1_ListFriendsRequest.with { ($0.limit, $0.after) = (Self.listPage, after) }
                let page = try await friendship.listFriends(request, metadata: caller.metadata)
                return (page.friends, page.nextAfter)
            }
        }
        requests = { caller in
            try await Self.pages { before in
                let request = Ringway_V1_ListFriendRequestsRequest.with { ($0.limit, $0.before) = (Self.listPage, before) }
                let page = try await friendship.listFriendRequests(request, metadata: caller.metadata)
                return (page.requests, page.nextBefore)
            }
        }
        groups = { try await friendship.listFriendGroups(.init(), metadata: $0.metadata).groups }
        blocks = { caller in
            try await Self.pages { after in
                let request = Ringway_V1_ListBlocksRequest.with { ($0.limit, $0.after) = (Self.listPage, after) }
                let page = try await friendship.listBlocks(request, metadata: caller.metadata)
                return (page.blocks, page.nextAfter)
            }
        }
        userSettings = { try await settings.getSettings(.init(), metadata: $0.metadata) }
        cursors = { caller in try await inbox.listCursors(.with { $0.userID = caller.userID }).cursors }
        events = { caller, since in
            let request = Ringway_V1_ReadInboxRequest.with { ($0.since, $0.limit) = (since, Self.eventsAPage) }
            let page = try await inbox.readInbox(request, metadata: caller.metadata)
            return (page.events, page.headSeq)
        }
    }

    /// All entries of a list, page by page.
    /// - Parameter page: those from a place on, which is 0 at first, and where the next page begins; 0: there is none.
    private static func pages<Entry>(
        _ page: (_ place: Int64) async throws -> (entries: [Entry], next: Int64)
    ) async throws -> [Entry] {
        var (all, place) = ([Entry](), Int64(0))
        repeat {
            let (entries, next) = try await page(place)
            all += entries
            place = next
        } while place != 0
        return all
    }
}
