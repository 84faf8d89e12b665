# Texts of the status page. The page's script fills them in and chooses the plural's form.
web-title = Дозор
web-states =
    .waiting = ждёт
    .running = выполняется
    .backoff = повтор
    .stopped = остановлена
    .paused = пауза
    .held = придержана
web-counted =
    .waiting = { $n ->
        [one] ждёт
        [few] ждут
       *[many] ждут
    }
    .running = { $n ->
        [one] выполняется
        [few] выполняются
       *[many] выполняются
    }
    .backoff = { $n ->
        [one] повтор
        [few] повтора
       *[many] повторов
    }
    .stopped = { $n ->
        [one] остановлена
        [few] остановлены
       *[many] остановлено
    }
    .paused = { $n ->
        [one] на паузе
        [few] на паузе
       *[many] на паузе
    }
    .held = { $n ->
        [one] придержана
        [few] придержаны
       *[many] придержано
    }
web-ready = готов
web-not-ready = не готов
web-unknown = нет связи
web-runner = Раннер { $id }, { $host }, { $version }
web-up = работает
web-zone = время: { $zone }
web-tasks = { $n ->
    [one] { $n } задача
    [few] { $n } задачи
   *[many] { $n } задач
}
web-all-tasks = все
web-filter = Найти задачу
web-more = Показано { $shown } из { $total }: остальные найдёт поиск
web-no-tasks = Задач нет
web-no-match = Ничего не найдено
web-broken = Сломаны
web-nothing-broken = Сломанных задач нет
web-paused = На паузе
web-healthy = Исправны
web-other-group = остальные
web-overdue = нет успеха вовремя
web-behind = отстаёт
web-last-success = успех
web-next-run = дальше
web-running = идёт
web-never = не было
web-now = сейчас
web-ago = { $time } назад
web-ahead = через { $time }
web-in-a-row = { $n ->
    [one] { $n } ошибка подряд
    [few] { $n } ошибки подряд
   *[many] { $n } ошибок подряд
}
web-failing-since = ошибки с
web-by = кем
web-backlog = в очереди
web-where = где
web-incidents = Открытые инциденты
web-task-incidents = Инциденты
web-no-incidents = Открытых инцидентов нет
web-more-incidents = { $n ->
    [one] и ещё { $n } инцидент
    [few] и ещё { $n } инцидента
   *[many] и ещё { $n } инцидентов
}
web-acknowledged = принято: { $by }
web-not-acknowledged = никто не принял
web-on-call = Дежурит
web-on-call-until = { $name } до { $at }
web-nobody-on-call = дежурства не настроены
web-silenced-until = без оповещений до { $at }, { $by }
web-silenced-open = без оповещений, пока не закончится, { $by }
web-explained = из-за #{ $id }
web-of-runner = Дозор
web-queue = Оповещения в очереди
web-queue-empty = Все доставлены
web-attempts = { $n ->
    [one] { $n } попытка
    [few] { $n } попытки
   *[many] { $n } попыток
}
web-messages =
    .repeated_errors = ошибки подряд
    .critical_stop = остановка
    .recovered = восстановление
    .flapping = то ломается, то чинится
    .trouble = неполадка
    .storm = массовый сбой
    .past = уже прошло
    .reminder = напоминание
    .escalation = эскалация
    .silence_over = конец тишины
    .morning = сводка за ночь
    .all_clear = всё в порядке
    .summary = сводка запасного канала
    .checker = оповещение задачи
    .runner_started = запуск Дозора
    .reloaded = новые настройки
    .reload_refused = настройки не приняты
    .dropped = потерянные записи
    .other = прочее
    .test = проверка
web-uptime = без ошибок
web-uptime-about = доля отрезков без ошибок среди тех, когда задача запускалась
web-bars = Последние { $time }, отрезки по { $period }: { $failed }
web-bars-failed = { $n ->
    [one] ошибки в { $n } отрезке
    [few] ошибки в { $n } отрезках
   *[many] ошибки в { $n } отрезках
}
web-bar-ok = без ошибок
web-bar-failed = { $n ->
    [one] { $failed } из { $n } запуска с ошибкой
    [few] { $failed } из { $n } запусков с ошибкой
   *[many] { $failed } из { $n } запусков с ошибкой
}
web-bar-none = не запускалась
web-bars-loading = История загружается
web-live = на связи
web-polling = на связи (опросом)
web-connecting = соединение…
web-stale = Данные устарели
web-stale-silent = Раннер молчит с { $at }: он завис, или потеряна связь с ним.
web-stale-refused = Раннер не отвечает с { $at }: он не запущен, или потеряна связь с ним.
web-stale-answer = Вместо раннера с { $at } отвечает ошибка { $status }.
web-as-of = Ниже всё по состоянию на это время. Страница обновится сама, как только он ответит.
web-read-only = только просмотр
web-sign-in = Войти
web-sign-out = Выйти
web-sign-in-label = Токен (web.token)
web-cancel = Отмена
web-restart = Перезапустить
web-pause = Пауза
web-resume = Снять с паузы
web-run-now = Запустить
web-acknowledge = Принять
web-give-back = Отменить принятие
web-silence = Не оповещать
web-unsilence = Оповещать снова
web-silence-for = Как долго не оповещать
web-done = { $name }: готово
web-already = { $name }: делать нечего
web-refused = { $name }: отказано ({ $reason })
web-denied = Токен не подходит
web-failed = Не получилось: раннер не отвечает
web-became = { $name }: { $state }
web-other-language = English
web-back = Все задачи
web-schedule = Расписание
web-runs = { $n ->
    [one] { $n } запуск
    [few] { $n } запуска
   *[many] { $n } запусков
}
web-failures = { $n ->
    [one] { $n } ошибка
    [few] { $n } ошибки
   *[many] { $n } ошибок
}
web-summary = Запуски
web-in-all = Всего: { $runs }, { $failures }
web-window =
    .d1 = 24 часа
    .d7 = 7 дней
    .d30 = 30 дней
web-succeeded-share = успешно
web-p50 = p50
web-p95 = p95
web-no-runs = запусков не было
web-chart = График
web-chart-runs = Запуски: успешные вверх, ошибки вниз
web-chart-durations = Длительность: p50 и p95
web-chart-about = { $window }: { $runs }, { $failures }; полоса на фоне — инцидент
web-portion-runs = { $runs }, { $failures }
web-traceback = Traceback последней ошибки
web-no-traceback = Ошибок с traceback не было
web-errors = Ошибки
web-no-errors = Ошибок не было
web-times = { $n ->
    [one] { $n } раз
    [few] { $n } раза
   *[many] { $n } раз
}
web-first-time = впервые
web-last-time = последний раз
web-timeline = Хронология
web-no-timeline = Пока ничего не было
web-outcomes =
    .succeeded = успешно
    .failed = ошибка
    .timed_out = превышено время
    .cancelled = прерван
    .lost = оборван
web-lasted = длился { $time }
web-still-open = ещё открыт
web-resolved = закрыт
web-no-past-incidents = Инцидентов не было
web-why = Почему пришло или нет
web-removed = Этой задачи больше нет в настройках.
web-unknown-task = В настройках нет задачи { $name }
web-unavailable = База данных не отвечает: истории пока не видно.
web-needs-script = Страница обновляется скриптом; без него видно только то, что сломано.
web-every = каждые { $time }
web-continuous = без перерыва
web-milliseconds = мс
web-seconds = с
web-minutes = мин
web-hours = ч
web-days = д
