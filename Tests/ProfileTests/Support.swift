// Profile and Settings as they are served, beside a Friendship that says what a test tells it to.
import Contract
import GRPCCore
import GRPCInProcessTransport
import GRPCProtobuf
import Postgres
import Synchronization
import TestSupport

@testable import Profile

typealias ProfileClient = Ringway_V1_ProfileService.Client<InProcessTransport.Client>
typealias SettingsClient = Ringway_V1_SettingsService.Client<InProcessTransport.Client>

/// Answers GetRelations, and nothing else.
final class FakeFriendship: RegistrableRPCService {
    private struct Pair: Hashable {
        let owner: Int64
        let viewer: Int64
    }

    private let relations = Mutex<[Pair: Ringway_V1_Relation]>([:])
    private let asked = Mutex(0)

    /// How often it was asked.
    var calls: Int { asked.withLock { $0 } }

    /// One direction only, as the service sees it.
    func set(_ owner: Int64, to viewer: Int64, _ relation: (inout Ringway_V1_Relation) -> Void) {
        relations.withLock {
            $0[Pair(owner: owner, viewer: viewer)] = .with {
                $0.ownerID = owner
                relation(&$0)
            }
        }
    }

    func befriend(_ one: Int64, _ other: Int64) {
        set(one, to: other) { $0.friend = true }
        set(other, to: one) { $0.friend = true }
    }

    func block(_ blocked: Int64, by owner: Int64) {
        set(owner, to: blocked) { $0.ownerBlocks = true }
        set(blocked, to: owner) { $0.viewerBlocks = true }
    }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: Ringway_V1_FriendshipService.Method.GetRelations.descriptor,
            deserializer: ProtobufDeserializer<Ringway_V1_GetRelationsRequest>(),
            serializer: ProtobufSerializer<Ringway_V1_GetRelationsResponse>()
        ) { request, _ in
            let message = try await ServerRequest(stream: request).message
            self.asked.withLock { $0 += 1 }
            let known = self.relations.withLock { $0 }
            let answer = Ringway_V1_GetRelationsResponse.with {
                $0.relations = message.ownerIds.compactMap { known[Pair(owner: $0, viewer: message.viewerID)] }
            }
            return StreamingServerResponse(single: ServerResponse(message: answer))
        }
    }
}

/// What a test of the services has at hand: two users, and the clients.
struct House: Sendable {
    let profiles: ProfileClient
    let settings: SettingsClient
    let friendship: FakeFriendship
    let ada: Int64
    let grace: Int64
    let database: TestDatabase

    func setPrivacy(of user: Int64, _ change: (inout Ringway_V1_Privacy) -> Void) async throws {
        _ = try await settings.updateSettings(.with { change(&$0.privacy) }, metadata: .bearer(user))
    }
}

func withHouse(
    searchLimits: SearchLimits = SearchLimits(), _ body: @Sendable (House) async throws -> Void
) async throws {
    try await TestDatabase.with { database in
        let friendship = FakeFriendship()
        let ada = try await database.makeUser("ada")
        let grace = try await database.makeUser("grace")
        try await withServer(of: { client in
            let relations = Relations(client: client)
            let mill = PictureMill(threads: 1, queueLimit: 4)
            return [
                ProfileHandler(postgres: database.client, relations: relations, mill: mill, searchLimits: searchLimits),
                SettingsHandler(postgres: database.client, relations: relations), friendship,
            ]
        }) { client in
            try await body(
                House(
                    profiles: .init(wrapping: client), settings: .init(wrapping: client), friendship: friendship,
                    ada: ada, grace: grace, database: database))
        }
    }
}

/// A client of the service, the ids of two users, ada and grace, and the database.
func withProfiles(_ body: @Sendable (ProfileClient, Int64, Int64, TestDatabase) async throws -> Void) async throws {
    try await withHouse { try await body($0.profiles, $0.ada, $0.grace, $0.database) }
}
