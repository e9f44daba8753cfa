// How users stand to each other, asked of Friendship through its contract, and the audience check that joins the answer
// with what the owners have set.
import Contract
import GRPCCore

/// Where relations come from.
public struct Relations: Sendable {
    private let ask: @Sendable (Ringway_V1_GetRelationsRequest) async throws -> Ringway_V1_GetRelationsResponse

    /// More would make one query do too much at a time.
    static let ownersMax = 1000

    public init<Transport: ClientTransport>(client: GRPCClient<Transport>) {
        let friendship = Ringway_V1_FriendshipService.Client(wrapping: client)
        var options = CallOptions.defaults
        options.timeout = .seconds(5)
        let callOptions = options
        ask = { try await friendship.getRelations($0, options: callOptions) }
    }

    /// The standing of each owner to the viewer. An owner that is not in the answer is a stranger.
    func standings(of owners: [Int64], to viewer: Int64) async throws -> [Int64: Standing] {
        let request = Ringway_V1_GetRelationsRequest.with {
            $0.viewerID = viewer
            $0.ownerIds = owners
        }
        let pairs = try await ask(request).relations.map { relation in
            let standing = Standing(
                areFriends: relation.friend, group: relation.groupID, ownerBlocks: relation.ownerBlocks,
                viewerBlocks: relation.viewerBlocks)
            return (relation.ownerID, standing)
        }
        return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
    }
}

struct AudienceCheck: Sendable {
    let settings: SettingsStore
    let relations: Relations

    /// Those of the owners that let the viewer, in the order of their ids. Owners who do not exist let nobody. For each
    /// owner the same is asked, whatever the answer, so that it takes as long for all of them.
    func allowed(_ viewer: Int64, _ field: PrivacyField, of owners: [Int64]) async throws -> [Int64] {
        async let audiences = settings.audiences(for: field, of: owners)
        async let standings = relations.standings(of: owners, to: viewer)
        let (known, standing) = try await (audiences, standings)
        return known.filter { owner, audience in
            owner == viewer || (standing[owner] ?? .stranger).isMeant(by: audience)
        }.map(\.owner)
    }
}
