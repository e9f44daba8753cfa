// A chat's commands and what it shows. An entry of the log is stored as seen after it is shown, so a chat that is
// killed in between shows it again rather than never.
import Foundation
import RingwayClient

actor ChatRoom {
    static let help = """
        A line is a message to the chosen friend, or one of:
          /add WHO [GREETING]  ask a user to be your friend
          /accept [WHO]        accept the request of a user, or the only one
          /friends             list your friends
          /to WHO              choose whom you write to; with one friend there is nothing to choose
          /quit                leave
        WHO is a username, or the id that somebody's chat shows at its start.
        """
    /// Messages on their way; further lines wait.
    private static let unansweredMax = 500

    private let client: RingwayClient
    private let username: String
    private let userID: Int64
    private let store: ChatStore
    private var names: [Int64: String] = [:]
    private var partner: Int64?
    private var isConnected = true
    private var unanswered = 0
    private var refused = 0
    /// The seqs of what was sent and of what was shown.
    private var sentSeq: Int64 = 0
    private var shownSeq: Int64 = 0
    private var hasEnded = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(client: RingwayClient, username: String, userID: Int64, store: ChatStore) {
        self.client = client
        self.username = username
        self.userID = userID
        self.store = store
    }

    func say(_ line: String) {
        ChatInput.print("-- " + line)
    }

    // MARK: What happens

    /// Shows what happens until the client is closed. Throws Complaint for an end that nobody here wanted.
    func showEvents() async throws {
        for await event in client.events {
            await show(event)
            if let seq = event.seq {
                await store.keep(lastSeq: seq)
                await client.ack(seq)
                shownSeq = seq
                changed()
            }
            guard case .closed(let code, let reason) = event else { continue }
            hasEnded = true
            changed()
            if code == 4501 || code == 4503 {
                await store.keep(credentials: nil)
                throw Complaint(line: "\(username) is logged out here (\(reason)); start again to log in")
            }
            if code >= 4000 { throw Complaint(line: "the server ended the session: \(reason) (\(code))") }
        }
        if refused > 0 { throw Complaint(line: "\(refused) of the messages were not sent") }
    }

    private func show(_ event: ClientEvent) async {
        switch event {
        case .connected:
            if !isConnected { say("connected again") }
            isConnected = true
        case .disconnected(let reason, _):
            if isConnected { say("not connected: \(ChatInput.harmless(reason)); trying again until it works") }
            isConnected = false
        case .sent(let sent):
            ChatInput.print("sent #\(sent.seq)")
        case .gap(let from, let to):
            say("\(to - from + 1) entries are no longer in the log")
        case .event(let event):
            await show(event)
        case .closed:
            break
        }
    }

    private func show(_ event: RingwayClient.Event) async {
        switch event.kind {
        case .message(let message) where message.from == userID:
            ChatInput.print("you to \(await name(of: message.to)): \(ChatInput.harmless(message.body.text))")
        case .message(let message):
            ChatInput.print("\(await name(of: message.from)): \(ChatInput.harmless(message.body.text))")
        case .friend(let friend):
            await show(friend)
        case .device(let device) where device.change == .revoked:
            say("device \(device.deviceID) of yours was logged out")
        case .device, .profile, .settings, nil:
            break
        }
    }

    private func show(_ friend: RingwayClient.FriendEvent) async {
        let name = await name(of: friend.userID)
        switch friend.change {
        case .requested where friend.request.from == userID:
            say("you asked \(name) to be your friend")
        case .requested:
            let greeting = friend.request.message.isEmpty ? "" : ": \(ChatInput.harmless(friend.request.message))"
            say("\(name) asks to be your friend\(greeting)")
            say("/accept \(friend.userID)")
        case .accepted:
            say("\(name) and you are friends")
        case .rejected:
            say(friend.request.from == userID ? "\(name) does not want to" : "you rejected \(name)")
        case .removed:
            say("\(name) and you are no longer friends")
            if partner == friend.userID { partner = nil }
        case .withdrawn:
            say(friend.request.from == userID ? "you took back the request to \(name)" : "\(name) no longer asks")
        case .expired:
            say("the request between \(name) and you has expired")
        case .blocked:
            say("you blocked \(name)")
        case .unblocked:
            say("you unblocked \(name)")
        case .groupsChanged, .moved, .remarked: break
        case .unspecified, .UNRECOGNIZED:
            break
        }
    }

    /// The nickname, looked up once.
    private func name(of user: Int64) async -> String {
        if let name = names[user] { return name }
        guard let profile = try? await client.profile(of: user) else { return "user \(user)" }
        let name = ChatInput.harmless(profile.nickname.isEmpty ? profile.username : profile.nickname)
        names[user] = name
        return name
    }

    // MARK: What is typed

    func handle(_ line: String) async {
        let words = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: true).map(String.init)
        guard let first = words.first else { return }
        do {
            switch first {
            case "/add": try await add(words)
            case "/accept": try await accept(words)
            case "/friends": try await listFriends()
            case "/to": try await choose(words)
            case "/help": ChatInput.print(Self.help)
            case "/quit": await client.close()
            case _ where first.hasPrefix("/"): say("there is no \(first); /help lists what there is")
            default: try await post(line)
            }
        } catch let error as RingwayError {
            say(ChatInput.harmless(error.message))
        } catch {
            say("\(error)")
        }
    }

    /// Returns when every message is answered and its place in the log is stored, or the session has ended.
    func settle() async {
        while !hasEnded, unanswered > 0 || shownSeq < sentSeq { await change() }
    }

    private func post(_ text: String) async throws {
        guard let partner = try await friendToWriteTo() else { return }
        while !hasEnded, unanswered >= Self.unansweredMax { await change() }
        do {
            unanswered += 1
            try await client.post(text, to: partner) { answer in Task { await self.answered(answer) } }
        } catch {
            answered(.failure(error))
        }
    }

    private func answered(_ answer: Result<RingwayClient.Sent, any Error>) {
        unanswered -= 1
        switch answer {
        case .success(let sent):
            sentSeq = max(sentSeq, sent.seq)
        case .failure(let error):
            refused += 1
            say("not sent: \((error as? RingwayError)?.message ?? "\(error)")")
        }
        changed()
    }

    /// Waits for a server that is not there, so that no line is lost.
    private func friendToWriteTo() async throws -> Int64? {
        if let partner { return partner }
        let friends: [RingwayClient.Friend]
        do {
            friends = try await client.friends()
        } catch let error as RingwayError where error.code == "UNAVAILABLE" && !hasEnded {
            try await Task.sleep(for: .milliseconds(500))
            return try await friendToWriteTo()
        }
        switch friends.count {
        case 0: say("you have no friends yet; /add WHO asks somebody")
        case 1: partner = friends[0].userID
        default: say("choose whom you write to: /to WHO; /friends lists them")
        }
        if partner == nil { refused += 1 }
        return partner
    }

    private func add(_ words: [String]) async throws {
        guard words.count > 1 else { return say("/add WHO [GREETING]") }
        guard let user = try await user(words[1]) else { return say("there is no \(words[1]) to be found") }
        let request = try await client.requestFriend(user, greeting: words.count > 2 ? words[2] : "")
        if partner == nil, request.state == .accepted { partner = user }
    }

    private func accept(_ words: [String]) async throws {
        let incoming = try await client.friendRequests().filter { $0.to == userID }
        var chosen = incoming
        if words.count > 1 {
            let user = try await user(words[1])
            chosen = incoming.filter { $0.from == user }
        }
        switch chosen.count {
        case 0: say(words.count > 1 ? "\(words[1]) has not asked you" : "nobody has asked you")
        case 1: try await client.acceptFriendRequest(chosen[0].id)
        default: say("several have asked: " + chosen.map { "/accept \($0.from)" }.joined(separator: ", "))
        }
    }

    private func listFriends() async throws {
        let friends = try await client.friends()
        if friends.isEmpty { say("you have no friends yet; /add WHO asks somebody") }
        for friend in friends {
            say("\(friend.userID) \(await name(of: friend.userID))\(friend.userID == partner ? " (chosen)" : "")")
        }
    }

    private func choose(_ words: [String]) async throws {
        guard words.count > 1 else { return say("/to WHO") }
        guard let user = try await user(words[1]), try await client.friends().contains(where: { $0.userID == user }) else {
            return say("\(words[1]) is not your friend")
        }
        partner = user
        say("you write to \(await name(of: user))")
    }

    /// By id or username. Usernames begin with a letter and are found in their order, so that the name itself comes before
    /// all that begin with it.
    private func user(_ word: String) async throws -> Int64? {
        if let id = Int64(word) { return id }
        let found = try await client.searchProfiles(word, limit: 1).profiles.first
        return found?.username == word.lowercased() ? found?.userID : nil
    }

    // MARK: Waiting

    private func change() async {
        await withCheckedContinuation { waiting.append($0) }
    }

    private func changed() {
        let woken = waiting
        waiting = []
        for continuation in woken { continuation.resume() }
    }
}
